"""The Hugging Face Hub: releases are pushed to it."""
