#include "tiles.h"

#include "kernels.h"

#ifdef HAVE_TILES
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Whether kernels that use tiles may be called: the processor has tiles, and the system lets this process use them. */
EXPORT int32_t oncue_tiles_fit(void) {
#ifdef HAVE_TILES
    enum { ask_permission = 0x1023, tile_data = 18 };
    unsigned a, b, c, d, tiles = (1u << 22) | (1u << 24), bf16 = 1u << 5;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & tiles) != tiles) return 0;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || (a & bf16) != bf16) return 0;
    return syscall(SYS_arch_prctl, ask_permission, tile_data) == 0;
#else
    return 0;
#endif
}
