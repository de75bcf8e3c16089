"""Big encoders by name, for people with a GPU and a hub: Hugging Face, torchaudio's pipelines, timm."""
