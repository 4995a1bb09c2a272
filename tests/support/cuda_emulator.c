/* Blocks of CUDA threads on one thread of this processor.

   Each thread of a block is a fiber, which runs until it waits for others: at a barrier of the block, or to exchange
   numbers within its warp. The fibers take turns in a given order, so that a missing barrier changes the result in some
   order: all of them forwards; one warp after another, from the last to the first, each as far as it can; or all of
   them shuffled. Memory between arrays is forbidden: an access ends the run with a message, not the process. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { WARP = 32, STACK = 1 << 16, FORWARDS = 0, BACKWARDS = 1, SHUFFLED = 2 };
enum state { READY, AT_BARRIER, IN_WARP, ENDED };

static void begin(void);

#ifdef __x86_64__
typedef void *context; /* the stack pointer; what a function must keep is on the stack */

void emulated_switch(context *from, context to);
__asm__(".text\n.globl emulated_switch\n.type emulated_switch, @function\nemulated_switch:\n"
        "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rsp, (%rdi)\n mov %rsi, %rsp\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

static void go(context *from, context *to) { emulated_switch(from, *to); }

static void prepare(context *one, char *stack) {
    void **top = (void **)(stack + STACK) - 2; /* of a function that was called from nowhere */
    *top = (void *)begin;
    *one = memset(top - 6, 0, 6 * sizeof(void *));
}
#else
#include <ucontext.h>
typedef ucontext_t context; /* slower: each switch calls the system twice */

static void go(context *from, context *to) { swapcontext(from, to); }

static void prepare(context *one, char *stack) {
    getcontext(one);
    one->uc_stack.ss_sp = stack;
    one->uc_stack.ss_size = STACK;
    makecontext(one, begin, 0);
}
#endif

typedef struct {
    context context;
    enum state state;
    int32_t site;    /* the place in the code where it waits */
    uint64_t shown;  /* what the other threads of its warp may read */
    uint64_t read[WARP];
} fiber;

typedef struct {
    void (*body)(void **);
    void **arguments;
    int32_t threads, order, patience;
    uint64_t seed;
    const uint64_t *shared; /* sizes of the arrays in shared memory, then 0 */
    char *message;          /* of 256 bytes; empty if all went well */
} launch;

typedef struct {
    const launch *of;
    context scheduler;
    sigjmp_buf escape;
    fiber *fibers;
    char *stacks, *arrays[64];
    uint64_t mapped[64];
    uint64_t seed;
    int64_t number; /* of the tile, which it draws when it starts */
    int32_t current, block, count, vote, voted;
    time_t end; /* of patience */
} device;

static __thread device *here;

int32_t emulated_failed; /* whether some block of the launch did: others may wait for it */

static void fail(const char *what) {
    __atomic_store_n(&emulated_failed, 1, __ATOMIC_RELAXED);
    snprintf(here->of->message, 256, "%s (block %d, thread %d)", what, here->block, here->current);
    siglongjmp(here->escape, 1);
}

static void wait_as(enum state state, int32_t site) {
    fiber *own = &here->fibers[here->current];
    own->state = state;
    own->site = site;
    go(&own->context, &here->scheduler);
}

/* What kernels call. */

int32_t emulated_thread(void) { return here->current; }
int32_t emulated_threads(void) { return here->of->threads; }
int32_t emulated_block(void) { return here->block; }
void *emulated_shared(int32_t number) { return here->arrays[number]; }
void emulated_barrier(int32_t site) { wait_as(AT_BARRIER, site); }

int32_t emulated_barrier_or(int32_t site, int32_t vote) {
    here->vote |= vote != 0;
    wait_as(AT_BARRIER, site);
    return here->voted;
}

/* The number that the thread `place` places before this one shows, or that of thread `place`; otherwise `otherwise`. */
uint64_t emulated_shuffle(int32_t site, int32_t up, int32_t place, uint64_t shown, uint64_t otherwise) {
    int32_t lane = here->current % WARP, source = up ? lane - place : place % WARP;
    fiber *own = &here->fibers[here->current];
    own->shown = shown;
    wait_as(IN_WARP, site);
    return source >= 0 ? own->read[source] : otherwise;
}

uint32_t emulated_ballot(int32_t site, uint32_t mask, int32_t vote) {
    uint32_t votes = 0;
    if (mask != 0xffffffffu) fail("a vote of a part of a warp");
    fiber *own = &here->fibers[here->current];
    own->shown = vote != 0;
    wait_as(IN_WARP, site);
    for (int lane = 0; lane < WARP; lane++) votes |= (uint32_t)own->read[lane] << lane;
    return votes;
}

int64_t emulated_add(int64_t *word, int64_t value) {
    return here->number = __atomic_fetch_add(word, value, __ATOMIC_RELAXED);
}

int64_t emulated_max(int64_t *word, int64_t value) {
    int64_t found = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (found < value && !__atomic_compare_exchange_n(word, &found, value, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return found;
}

static char taken; /* a word of 128 bits is written and read at once */

static void take(const void *word) {
    if ((uintptr_t)word % 16) fail("a word of 128 bits is not aligned");
    (void)*(const volatile char *)word; /* if that is forbidden, nobody must have taken the word */
    while (__atomic_test_and_set(&taken, __ATOMIC_ACQUIRE)) {}
}

int32_t emulated_late;    /* tile 1 writes messages of this kind, the lowest bits of a stamp, after one was missed */
int64_t emulated_seen[4]; /* how many messages of each kind were read */

void emulated_post(uint64_t *word, uint64_t stamp, uint64_t number) {
    if (emulated_late && here->number == 1 && stamp % 4 == (uint64_t)emulated_late)
        for (int k = 0; k < 10000 && __atomic_load_n(&emulated_seen[emulated_late - 1], __ATOMIC_RELAXED) == 0; k++)
            usleep(1000);
    take(word);
    word[0] = stamp, word[1] = number;
    __atomic_clear(&taken, __ATOMIC_RELEASE);
}

uint64_t emulated_peek(const uint64_t *word, uint64_t *number) {
    take(word);
    uint64_t stamp = word[0];
    *number = word[1];
    emulated_seen[stamp % 4]++;
    __atomic_clear(&taken, __ATOMIC_RELEASE);
    return stamp;
}

/* What launches blocks. */

static void begin(void) {
    here->of->body(here->of->arguments);
    here->fibers[here->current].state = ENDED;
    for (;;) go(&here->fibers[here->current].context, &here->scheduler);
}

static struct sigaction others[2]; /* what is done about errors of other code */

static void forbidden(int number) {
    if (here) fail("an access to memory outside of all arrays");
    sigaction(number, &others[number == SIGBUS], NULL); /* the error happens again, and they are told */
}

/* Must be called once, before anything is emulated. */
void emulator_begins(void) {
    struct sigaction caught;
    memset(&caught, 0, sizeof caught);
    caught.sa_handler = forbidden;
    caught.sa_flags = SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &caught, &others[0]);
    sigaction(SIGBUS, &caught, &others[1]);
}

static void *pages(uint64_t size) {
    void *found = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return found == MAP_FAILED ? NULL : found;
}

static uint64_t draw(void) {
    here->seed ^= here->seed << 13, here->seed ^= here->seed >> 7, here->seed ^= here->seed << 17;
    return here->seed;
}

/* Every fiber of some that is ready runs until it waits. */
static int turn(int32_t *order, int32_t threads) {
    int32_t moved = 0;
    if (time(NULL) > here->end) fail("a block waits for ever");
    if (__atomic_load_n(&emulated_failed, __ATOMIC_RELAXED)) siglongjmp(here->escape, 1);
    for (int32_t i = threads - 1; here->of->order == SHUFFLED && i > 0; i--) {
        int32_t j = draw() % (i + 1), kept = order[i];
        order[i] = order[j], order[j] = kept;
    }
    for (int32_t k = 0; k < threads; k++) {
        if (here->fibers[order[k]].state != READY) continue;
        here->current = order[k];
        go(&here->scheduler, &here->fibers[order[k]].context);
        moved = 1;
    }
    return moved;
}

/* A warp whose threads all wait for each other at one place goes on. */
static int exchange(fiber *warp, int32_t lanes) {
    int32_t waiting = 0;
    for (int lane = 0; lane < lanes; lane++) waiting += warp[lane].state == IN_WARP;
    if (waiting == 0) return 0;
    if (waiting < WARP) {
        for (int lane = 0; lane < lanes; lane++)
            if (warp[lane].state == READY) return 0;
        fail("some threads of a warp exchange numbers, and others do not come");
    }
    for (int lane = 0; lane < WARP; lane++) {
        if (warp[lane].site != warp[0].site) fail("threads of a warp exchange numbers at different places");
        for (int other = 0; other < WARP; other++) warp[lane].read[other] = warp[other].shown;
        warp[lane].state = READY;
    }
    return 1;
}

/* Threads that all wait at one barrier go on; returns 0 if all have ended. */
static int release(void) {
    int32_t site = -1, live = 0;
    for (int32_t i = 0; i < here->of->threads; i++) {
        fiber *one = &here->fibers[i];
        if (one->state == ENDED) continue;
        if (live++ && one->site != site) fail("threads of a block wait at different barriers");
        site = one->site;
        one->state = READY;
    }
    here->voted = here->vote, here->vote = 0;
    return live;
}

/* Threads run, and exchange numbers, until all wait at barriers; or, if all take turns, once. */
static int advance(int32_t *order) {
    int32_t threads = here->of->threads, moved = 0;
    if (here->of->order != BACKWARDS) moved = turn(order, threads);
    for (int32_t first = (threads - 1) / WARP * WARP; first >= 0; first -= WARP) {
        int32_t lanes = threads - first < WARP ? threads - first : WARP;
        if (here->of->order == BACKWARDS)
            while (turn(order + first, lanes) | exchange(here->fibers + first, lanes)) moved = 1;
        else
            moved |= exchange(here->fibers + first, lanes);
    }
    return moved;
}

static void run_block(int32_t block, int32_t *order) {
    int32_t threads = here->of->threads;
    here->seed = here->of->seed * 2654435761u + (uint64_t)block * 40503u + 88172645463325252u;
    here->end = time(NULL) + here->of->patience;
    here->block = block, here->vote = here->voted = 0;
    /* Shared memory that nobody has written is no number, a small one, or 0: kernels mend what is no number. */
    int unwritten = here->of->order == FORWARDS ? 0xff : here->of->order == BACKWARDS ? 0x3f : 0;
    for (int32_t k = 0; k < here->count; k++) memset(here->arrays[k], unwritten, here->of->shared[k]);
    for (int32_t i = 0; i < threads; i++) {
        fiber *one = &here->fibers[i];
        int32_t first = i / WARP * WARP, last = (first + WARP < threads ? first + WARP : threads) - 1;
        order[i] = here->of->order == BACKWARDS ? first + last - i : i;
        prepare(&one->context, here->stacks + (uint64_t)i * STACK);
        one->state = READY;
    }
    while (advance(order) || release()) {}
}

/* Runs blocks one after another, until something is wrong. */
void emulate(const launch *of, const int32_t *blocks, int32_t count) {
    device own = {.of = of};
    uint64_t page = sysconf(_SC_PAGESIZE), stacks = (uint64_t)of->threads * STACK;
    char *signals = malloc(1 << 16);
    int32_t *order = malloc(of->threads * sizeof(int32_t));
    stack_t alternative = {.ss_sp = signals, .ss_size = 1 << 16}, before_stack;
    own.fibers = calloc(of->threads, sizeof(fiber));
    own.stacks = pages(stacks);
    for (; of->shared[own.count]; own.count++) {
        uint64_t whole = (of->shared[own.count] + page - 1) / page * page;
        char *start = pages(own.mapped[own.count] = whole + 2 * page);
        mprotect(start, page, PROT_NONE);
        mprotect(start + page + whole, page, PROT_NONE);
        own.arrays[own.count] = start + page + whole - of->shared[own.count];
    }
    device *before = here;
    here = &own;
    sigaltstack(&alternative, &before_stack);
    if (sigsetjmp(own.escape, 1) == 0)
        for (int32_t k = 0; k < count; k++) run_block(blocks[k], order);
    sigaltstack(&before_stack, NULL);
    here = before;
    for (int32_t k = 0; k < own.count; k++) {
        uint64_t whole = own.mapped[k] - 2 * page;
        munmap(own.arrays[k] + of->shared[k] - whole - page, own.mapped[k]);
    }
    munmap(own.stacks, stacks);
    free(own.fibers), free(order), free(signals);
}
