/* What the host program may register: a check for a wish to stop, in which a Python process looks for Ctrl-C, and what
   becomes of errors, which are exceptions there. */
#define _POSIX_C_SOURCE 199309L
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

#include "taylorfit.h"

typedef void (*tf_error_hook)(int item, const char *message, size_t length);

static _Atomic(tf_stop_check) stop_check = NULL;
static _Atomic(tf_error_hook) error_hook = NULL;

void tf_engine_set_stop_check(tf_stop_check check);
void tf_engine_set_error_hook(tf_error_hook hook);
int tf_check_stop(void);
void tf_nap(void);
void tf_tell_error(int item, const char *message, size_t length);

void tf_engine_set_stop_check(tf_stop_check check) { atomic_store(&stop_check, check); }

void tf_engine_set_error_hook(tf_error_hook hook) { atomic_store(&error_hook, hook); }

int tf_check_stop(void)
{
    tf_stop_check check = atomic_load(&stop_check);
    return check && check() ? 1 : 0;
}

void tf_nap(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

void tf_tell_error(int item, const char *message, size_t length)
{
    tf_error_hook hook = atomic_load(&error_hook);
    if (hook) hook(item, message, length);
}
