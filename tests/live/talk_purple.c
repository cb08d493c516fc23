/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A chat client made of libpurple (as Pidgin and Finch are), for test_libpurple.py.
 *
 *   talk_purple FOLDER URL JID PASSWORD
 *
 * FOLDER: where libpurple shall keep its files. Reads "send JID TEXT" and "quit" from stdin, a
 * command a line; writes a line for each event: "online JID", "message FROM TEXT",
 * "offline REASON".
 */
#include <glib.h>
#include <purple.h>
#include <stdio.h>
#include <string.h>

static GMainLoop *loop;
static PurpleAccount *account;
static int handle; /* its address is who listens to libpurple's signals */

/* ---- libpurple's event loop is GLib's ------------------------------------------------ */

typedef struct watch_t {
    PurpleInputFunction function;
    gpointer data;
} watch_t;

static gboolean on_input(GIOChannel *channel, GIOCondition what, gpointer data)
{
    const watch_t *watch = data;
    PurpleInputCondition condition = 0;

    if (what & (G_IO_IN | G_IO_HUP | G_IO_ERR)) {
        condition |= PURPLE_INPUT_READ;
    }
    if (what & (G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL)) {
        condition |= PURPLE_INPUT_WRITE;
    }
    watch->function(watch->data, g_io_channel_unix_get_fd(channel), condition);
    return TRUE;
}

static guint add_input(int fd, PurpleInputCondition condition, PurpleInputFunction function,
                       gpointer data)
{
    GIOChannel *channel = g_io_channel_unix_new(fd);
    GIOCondition what = G_IO_HUP | G_IO_ERR | G_IO_NVAL;
    watch_t *watch = g_new(watch_t, 1);
    guint id;

    *watch = (watch_t){ function, data };
    what |= condition & PURPLE_INPUT_READ ? G_IO_IN : 0;
    what |= condition & PURPLE_INPUT_WRITE ? G_IO_OUT : 0;
    id = g_io_add_watch_full(channel, G_PRIORITY_DEFAULT, what, on_input, watch, g_free);
    g_io_channel_unref(channel);
    return id;
}

/* libpurple collects for a second what it sends: too long for a test. */
static guint add_seconds(guint interval, GSourceFunc function, gpointer data)
{
    return g_timeout_add(interval == 1 ? 100 : interval * 1000, function, data);
}

static PurpleEventLoopUiOps event_loop = {
    .timeout_add = g_timeout_add,
    .timeout_remove = g_source_remove,
    .timeout_add_seconds = add_seconds,
    .input_add = add_input,
    .input_remove = g_source_remove,
};

/* ---- events ------------------------------------------------------------------------------ */

static void on_signed_on(PurpleConnection *gc, gpointer data)
{
    printf("online %s\n", purple_connection_get_display_name(gc));
}

static void on_message(PurpleAccount *to, char *from, char *text, PurpleConversation *conv,
                       PurpleMessageFlags flags, gpointer data)
{
    char *plain = purple_markup_strip_html(text);

    printf("message %s %s\n", from, plain);
    g_free(plain);
}

/* An error: libpurple's own clients would connect again; here it is the end. */
static void on_error(PurpleConnection *gc, PurpleConnectionError error, const char *why,
                     gpointer data)
{
    printf("offline %s\n", why);
    g_main_loop_quit(loop);
}

/* ---- commands ---------------------------------------------------------------------------- */

static void obey(char *command)
{
    char *space = strncmp(command, "send ", 5) ? NULL : strchr(command + 5, ' ');

    if (space) {
        *space = '\0';
        serv_send_im(purple_account_get_connection(account), command + 5, space + 1, 0);
    }
    else {
        printf("offline quit\n");
        g_main_loop_quit(loop);
    }
}

static gboolean on_stdin(GIOChannel *channel, GIOCondition what, gpointer data)
{
    char *line = NULL;
    gsize end;
    GIOStatus status = g_io_channel_read_line(channel, &line, NULL, &end, NULL);

    if (status == G_IO_STATUS_AGAIN) {
        return TRUE;
    }
    if (status != G_IO_STATUS_NORMAL) { /* whoever started us is gone */
        g_main_loop_quit(loop);
        return FALSE;
    }
    line[end] = '\0';
    obey(line);
    g_free(line);
    return TRUE;
}

/* ---- the account -------------------------------------------------------------------------- */

static void make_account(const char *url, const char *jid, const char *password)
{
    account = purple_account_new(jid, "prpl-jabber");
    purple_account_set_password(account, password);
    purple_account_set_string(account, "bosh_url", url);
    purple_account_set_string(account, "connection_security", "opportunistic_tls");
    purple_account_set_bool(account, "auth_plain_in_clear", TRUE);
    purple_account_set_string(account, "ft_proxies", "");
    purple_accounts_add(account);
    purple_account_set_enabled(account, "talk", TRUE);
}

static void listen_to_libpurple(void)
{
    void *connections = purple_connections_get_handle();

    purple_signal_connect(connections, "signed-on", &handle, PURPLE_CALLBACK(on_signed_on), NULL);
    purple_signal_connect(connections, "connection-error", &handle, PURPLE_CALLBACK(on_error),
                          NULL);
    purple_signal_connect(purple_conversations_get_handle(), "received-im-msg", &handle,
                          PURPLE_CALLBACK(on_message), NULL);
}

int main(int argc, char **argv)
{
    GIOChannel *commands = g_io_channel_unix_new(0);

    if (argc != 5) {
        fprintf(stderr, "talk_purple FOLDER URL JID PASSWORD\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    g_io_channel_set_flags(commands, G_IO_FLAG_NONBLOCK, NULL);
    loop = g_main_loop_new(NULL, FALSE);
    purple_util_set_user_dir(argv[1]);
    purple_debug_set_enabled(g_getenv("TALK_LOG") != NULL);
    purple_debug_set_verbose(g_getenv("TALK_LOG") != NULL);
    purple_eventloop_set_ui_ops(&event_loop);
    if (!purple_core_init("talk")) {
        fprintf(stderr, "libpurple does not begin\n");
        return 1;
    }
    purple_set_blist(purple_blist_new());
    purple_prefs_load();
    /* As in a Pidgin that stands idle: nothing is said but what the test says. */
    purple_prefs_set_bool("/purple/conversations/im/send_typing", FALSE);
    listen_to_libpurple();
    make_account(argv[2], argv[3], argv[4]);
    purple_savedstatus_activate(purple_savedstatus_new(NULL, PURPLE_STATUS_AVAILABLE));
    g_io_add_watch(commands, G_IO_IN | G_IO_HUP, on_stdin, NULL);
    g_main_loop_run(loop);
    purple_core_quit(); /* signs off */
    return 0;
}
