/* Preloaded into a worker: its wall clock runs CHAOS_CLOCK seconds ahead, for every library in the process.
   Deadlines on the wall clock are moved back for the kernel, whose clock is right. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

static long shift;

__attribute__((constructor)) static void begin(void) {
    const char *said = getenv("CHAOS_CLOCK");
    shift = said ? atol(said) : 0;
}

static void *real(const char *name, const char *version) {
    void *found = version ? dlvsym(RTLD_NEXT, name, version) : NULL;
    return found ? found : dlsym(RTLD_NEXT, name);
}

static int is_wall(clockid_t id) { return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*call)(clockid_t, struct timespec *);
    if (!call) call = real("clock_gettime", NULL);
    int done = call(id, at);
    if (done == 0 && is_wall(id)) at->tv_sec += shift;
    return done;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) == 0) {
        at->tv_sec = now.tv_sec;
        at->tv_usec = now.tv_nsec / 1000;
    }
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *at, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, at) == 0 ? base : 0;
}

/* A deadline that is no wall clock time (monotonic: seconds since boot) stays as it is. */
static struct timespec kernels(const struct timespec *until) {
    struct timespec moved = *until;
    if (moved.tv_sec > 1000000000 && moved.tv_sec < 10000000000) moved.tv_sec -= shift;
    return moved;
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*call)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!call) call = real("pthread_cond_timedwait", "GLIBC_2.3.2");
    struct timespec moved = kernels(until);
    return call(cond, mutex, &moved);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t id,
                           const struct timespec *until) {
    static int (*call)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    if (!call) call = real("pthread_cond_clockwait", NULL);
    struct timespec moved = is_wall(id) ? kernels(until) : *until;
    return call(cond, mutex, id, &moved);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*call)(pthread_mutex_t *, const struct timespec *);
    if (!call) call = real("pthread_mutex_timedlock", NULL);
    struct timespec moved = kernels(until);
    return call(mutex, &moved);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    static int (*call)(sem_t *, const struct timespec *);
    if (!call) call = real("sem_timedwait", NULL);
    struct timespec moved = kernels(until);
    return call(semaphore, &moved);
}

int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    static int (*call)(cnd_t *, mtx_t *, const struct timespec *);
    if (!call) call = real("cnd_timedwait", NULL);
    struct timespec moved = kernels(until);
    return call(cond, mutex, &moved);
}
