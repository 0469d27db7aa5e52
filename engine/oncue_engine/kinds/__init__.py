"""The kinds of models that the engine can run, each behind `model_interface.SpeechModel`."""
