"""``python -m models.study``."""

import sys

from models.study.run import main

if __name__ == "__main__":
    sys.exit(main())
