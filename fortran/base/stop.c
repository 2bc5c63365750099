/* The check for a wish to stop that the host program may register: a Python process looks for Ctrl-C in it. */
#include <stdatomic.h>
#include <stddef.h>

#include "taylorfit.h"

static _Atomic(tf_stop_check) registered = NULL;

void tf_engine_set_stop_check(tf_stop_check check);
int tf_check_stop(void);

void tf_engine_set_stop_check(tf_stop_check check) { atomic_store(&registered, check); }

int tf_check_stop(void)
{
    tf_stop_check check = atomic_load(&registered);
    return check && check() ? 1 : 0;
}
