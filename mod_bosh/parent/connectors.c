/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Connector processes. Forked like mod_cgid's daemon, but a restart does not end
 * them: at a restart the parent only registers them anew (the callback's address
 * changes with the module) and hands them the new error log.
 */

#include "parent_int.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ap_listen.h"
#include "ap_mpm.h"
#include "apr_portable.h"
#include "http_log.h"
#include "mpm_common.h"
#include "unixd.h"

APLOG_USE_MODULE(bosh);

/* A connector that ran this long died of something new. */
#define STEADY_MS    BOSH_SEC(10)
#define MAX_DELAY    30 /* seconds */
/* What a stop may take, of all connectors together. */
#define STOP_WAIT_MS (BOSH_CONNECTOR_STOP_MS + BOSH_SEC(1))
#define STOP_LOOK_MS 20

static volatile int stop_requested;
static server_rec *log_server;

static void on_term(int sig)
{
    (void)sig;
    stop_requested = 1;
}

static void log_sink(bosh_log_level_t level, const char *file, int line, const char *text)
{
    ap_log_error(file, line, APLOG_MODULE_INDEX, (int)level, 0, log_server, "%s", text);
}

/* ---- in the connector --------------------------------------------------- */

/* Restarts signal the whole process group; only SIGTERM means us. */
static void set_signals(void)
{
    struct sigaction sa = { .sa_handler = on_term };
    sigset_t none;

    sigaction(SIGTERM, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    sigaction(SIGHUP, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGPIPE, &sa, NULL);
    sigaction(AP_SIG_GRACEFUL, &sa, NULL);
    sigaction(AP_SIG_GRACEFUL_STOP, &sa, NULL);
    sa.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &sa, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* After the change of user, which clears the first of these. */
static void bind_to_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_NAME, "bosh-connector");
    if (getppid() != parent) {
        _exit(0);
    }
}

static bool on_control(void *baton, bosh_msec_t *patience)
{
    return handover_receive(*(int *)baton, log_server, patience);
}

/* Until the delay is over; the parent's end closing, or SIGTERM, ends it. */
static void sit_out(bosh_msec_t delay)
{
    bosh_msec_t until = bosh_now() + delay;

    while (!stop_requested && bosh_now() < until) {
        apr_sleep(apr_time_from_msec(100));
    }
}

static void run(kept_t *kept, process_t *me, bosh_msec_t delay, pid_t parent)
{
    apr_pool_t *p;
    apr_socket_t *control = NULL;
    bosh_connector_args_t args = { .store = kept->store,
                                   .wake = kept->wake,
                                   .index = me->index,
                                   .on_control = on_control,
                                   .baton = &me->control[1],
                                   .stop = &stop_requested };

    set_signals();
    close(me->control[0]);
    ap_close_listeners();
    descriptors_close_others(kept->wake, me->control[1], log_server);
    apr_pool_create(&p, NULL);
    if (ap_run_drop_privileges(p, log_server) != 0) {
        _exit(1);
    }
    bind_to_parent(parent);
    apr_global_mutex_child_init(&kept->mutex, apr_global_mutex_lockfile(kept->mutex), p);
    bosh_store_use_mutex(kept->store, kept->mutex);
    apr_os_sock_put(&control, &me->control[1], p);
    apr_socket_timeout_set(control, 0);
    args.control = control;
    bosh_log_to(log_sink);
    sit_out(delay);
    _exit(stop_requested || bosh_connector_run(&args, p) == APR_SUCCESS ? 0 : 1);
}

/* ---- in the parent ------------------------------------------------------ */

static void on_other_child(int reason, void *data, apr_wait_t status);

static void watch(process_t *me, server_rec *s)
{
    apr_proc_other_child_register(&me->proc, on_other_child, me, NULL, s->process->pconf);
}

static bosh_msec_t next_delay(process_t *me)
{
    unsigned seconds;

    if (me->started == 0 || bosh_now() - me->started > STEADY_MS) {
        me->deaths = 0;
        return 0;
    }
    seconds = me->deaths < 5 ? 1u << me->deaths : MAX_DELAY;
    me->deaths++;
    return BOSH_SEC(seconds - 1);
}

static void note_alive(kept_t *kept, const process_t *me)
{
    kept->head.connector[me->index].pid = me->proc.pid;
    kept->head.connector[me->index].control = me->control[0];
}

static bool is_alive(const kept_t *kept, const process_t *me)
{
    return kept->head.connector[me->index].pid != 0;
}

static void note_dead(kept_t *kept, const process_t *me)
{
    kept->head.connector[me->index].pid = 0;
    close(me->control[0]);
}

static apr_status_t fork_off(process_t *me)
{
    return BOSH_FAULT("connector-fork") ? APR_FROM_OS_ERROR(EAGAIN)
                                        : apr_proc_fork(&me->proc, log_server->process->pool);
}

/* What fails is tried again: see connectors_look_after(). */
static void start(kept_t *kept, process_t *me, server_rec *s)
{
    bosh_msec_t delay = next_delay(me);
    pid_t parent = getpid();
    apr_status_t rv;

    me->started = bosh_now() + delay;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, me->control) != 0) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, apr_get_netos_error(), s,
                     BOSHNO(2007) "no socket pair for connector %u, it will be tried again",
                     me->index);
        return;
    }
    log_server = s;
    rv = fork_off(me);
    if (rv == APR_INCHILD) {
        run(kept, me, delay, parent);
    }
    close(me->control[1]);
    if (rv != APR_INPARENT) {
        close(me->control[0]);
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     BOSHNO(2008) "connector %u cannot be forked, it will be tried again",
                     me->index);
        return;
    }
    note_alive(kept, me);
    watch(me, s);
    if (delay) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     BOSHNO(2011) "connector %u begins its work in %d s: it died too often",
                     me->index, (int)(delay / 1000));
    }
}

static void on_death(process_t *me, apr_wait_t status)
{
    server_rec *s = kept_server();

    note_dead(kept_get(), me);
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                 BOSHNO(2009) "connector %u (pid %d) died, status %d: its sessions are lost, it "
                              "is started again",
                 me->index, (int)me->proc.pid, (int)status);
    start(kept_get(), me, s);
}

/* RESTART comes for stops and for hard restarts alike, UNREGISTER also when the
 * configuration pool goes: none of them ends a connector. The process pool does. */
static void on_other_child(int reason, void *data, apr_wait_t status)
{
    process_t *me = data;

    if (reason == APR_OC_REASON_UNREGISTER) {
        return;
    }
    apr_proc_other_child_unregister(data);
    if (reason == APR_OC_REASON_DEATH || reason == APR_OC_REASON_LOST) {
        on_death(me, status);
    }
}

static bool is_gone(pid_t pid)
{
    int status;

    return waitpid(pid, &status, WNOHANG) != 0;
}

/* Those that are still there. */
static unsigned count_left(kept_head_t *head)
{
    unsigned left = 0;

    for (unsigned i = 0; i < BOSH_MAX_CONNECTORS; i++) {
        if (head->connector[i].pid && is_gone(head->connector[i].pid)) {
            head->connector[i].pid = 0;
            close(head->connector[i].control);
        }
        left += head->connector[i].pid != 0;
    }
    return left;
}

static void signal_all(const kept_head_t *head, int sig)
{
    for (unsigned i = 0; i < BOSH_MAX_CONNECTORS; i++) {
        if (head->connector[i].pid) {
            kill(head->connector[i].pid, sig);
        }
    }
}

static bool are_gone_within(kept_head_t *head, bosh_msec_t ms)
{
    bosh_msec_t until = bosh_now() + ms;

    while (count_left(head) > 0) {
        if (bosh_now() >= until) {
            return false;
        }
        apr_sleep(apr_time_from_msec(STOP_LOOK_MS));
    }
    return true;
}

/* They have the time to close their streams, and then no more. One that is stopped ends
 * when it is killed. */
void connectors_end(kept_head_t *head, server_rec *s)
{
    signal_all(head, SIGTERM);
    if (!are_gone_within(head, STOP_WAIT_MS)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(2012) "connectors that did not end in time are killed");
        signal_all(head, SIGKILL);
        are_gone_within(head, BOSH_SEC(1));
    }
}

/* httpd's parent exits, however it came to that. Children run this too when they
 * exit (APR destroys all pools then), and must not mean it. */
static apr_status_t stop_all(void *data)
{
    kept_t *kept = data;

    if (kept->parent == getpid()) {
        connectors_end(&kept->head, kept_server());
    }
    return APR_SUCCESS;
}

/* Nobody can ask for a session any more, and it would have ended by itself. */
static bosh_msec_t longest_inactivity(server_rec *s)
{
    int seconds = 0;

    for (; s; s = s->next) {
        int own = bosh_config(s)->inactivity;

        seconds = own > seconds ? own : seconds;
    }
    return BOSH_SEC(seconds);
}

/* The module is unloaded: its code must not be called any more. Perhaps it is not loaded
 * again: then connectors go by themselves, when their clients cannot come back any more. */
static apr_status_t forget_stop(void *data)
{
    kept_t *kept = data;

    apr_pool_cleanup_kill(kept_server()->process->pool, data, stop_all);
    for (unsigned i = 0; kept->parent == getpid() && i < kept->limits.connectors; i++) {
        if (is_alive(kept, &kept->process[i])) {
            handover_announce(&kept->process[i], longest_inactivity(kept_server()));
        }
    }
    return APR_SUCCESS;
}

/* A pre-cleanup runs before the configuration pool, and the module with it, goes. */
static void arrange_stop(kept_t *kept, server_rec *s)
{
    kept->parent = getpid();
    apr_pool_pre_cleanup_register(s->process->pool, kept, stop_all);
    apr_pool_cleanup_register(s->process->pconf, kept, forget_stop, apr_pool_cleanup_null);
}

bool connectors_are_gone(const kept_t *kept)
{
    for (unsigned i = 0; i < kept->limits.connectors; i++) {
        /* A zombie is ours: it died while a restart had it unregistered. */
        if (!is_alive(kept, &kept->process[i]) || kill(kept->process[i].proc.pid, 0) == 0) {
            return false;
        }
    }
    return true;
}

void connectors_start(kept_t *kept, server_rec *s)
{
    count_left(&kept->head); /* one may have died while a restart had it unregistered */
    for (unsigned i = 0; i < kept->limits.connectors; i++) {
        process_t *me = &kept->process[i];

        me->index = i;
        if (is_alive(kept, me)) {
            watch(me, s);
            handover_send(me, s);
        }
        else {
            start(kept, me, s);
        }
    }
    arrange_stop(kept, s);
}

void connectors_look_after(kept_t *kept, server_rec *s)
{
    for (unsigned i = 0; i < kept->limits.connectors; i++) {
        if (!is_alive(kept, &kept->process[i])) {
            start(kept, &kept->process[i], s);
        }
    }
}

void connectors_close_control(kept_t *kept)
{
    if (kept->parent == getpid()) {
        return; /* httpd -X: the parent serves requests itself */
    }
    for (unsigned i = 0; i < kept->limits.connectors; i++) {
        if (is_alive(kept, &kept->process[i])) {
            close(kept->process[i].control[0]);
        }
    }
}
