/* Decode steps of the autoregressive backbone (model/gpt.py): few rows, so the weights set the pace. */
#include "kernels.h"
