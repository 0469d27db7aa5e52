/* The anti-aliased activation of the vocoder (model/bigvgan.py) in one pass over memory. */
#include "kernels.h"
