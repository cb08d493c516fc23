/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A chat client made of gloox, for test_gloox.py.
 *
 *   talk_gloox MODE HOST PORT JID PASSWORD [CA]
 *
 * MODE: pipelining (gloox's default), persistent or legacy. With CA, a certificate's file, over
 * TLS. Reads "send JID TEXT" and "quit" from stdin, a command a line; writes a line for each
 * event: "online JID", "message FROM TEXT", "offline REASON".
 */
#include <gloox/client.h>
#include <gloox/connectionbosh.h>
#include <gloox/connectionlistener.h>
#include <gloox/connectiontcpclient.h>
#include <gloox/connectiontls.h>
#include <gloox/loghandler.h>
#include <gloox/message.h>
#include <gloox/messagehandler.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <poll.h>
#include <string>
#include <unistd.h>

using namespace gloox;

static const int PAUSE_US = 10000; /* between two looks at stdin */

class Talk : public ConnectionListener, MessageHandler, LogHandler {
  public:
    Talk(char **args, const char *ca);
    int run();

    void onConnect() override;
    void onDisconnect(ConnectionError error) override;
    bool onTLSConnect(const CertInfo &) override
    {
        return true;
    }
    void handleMessage(const Message &message, MessageSession *) override;
    void handleLog(LogLevel level, LogArea area, const std::string &text) override;

  private:
    void read_commands();
    void obey(const std::string &command);

    Client client;
    std::string input;
    bool is_over = false;
};

static ConnectionBOSH::ConnMode mode_named(const std::string &name)
{
    return name == "legacy"       ? ConnectionBOSH::ModeLegacyHTTP
           : name == "persistent" ? ConnectionBOSH::ModePersistentHTTP
                                  : ConnectionBOSH::ModePipelining;
}

Talk::Talk(char **args, const char *ca) : client(JID(args[3]), args[4])
{
    const std::string host = args[1];
    ConnectionBase *way = new ConnectionTCPClient(client.logInstance(), host, atoi(args[2]));

    if (ca) {
        ConnectionTLS *tls = new ConnectionTLS(way, client.logInstance());
        tls->setCACerts({ ca });
        way = tls;
    }
    ConnectionBOSH *bosh =
        new ConnectionBOSH(&client, way, client.logInstance(), host, client.jid().server());
    bosh->setMode(mode_named(args[0]));
    client.setConnectionImpl(bosh);
    client.setTls(TLSDisabled); /* no STARTTLS within BOSH */
    client.setCompression(false);
    client.registerConnectionListener(this);
    client.registerMessageHandler(this);
    if (getenv("TALK_LOG")) {
        client.logInstance().registerLogHandler(LogLevelDebug, LogAreaAll, this);
    }
}

void Talk::onConnect()
{
    printf("online %s\n", client.jid().full().c_str());
}

void Talk::onDisconnect(ConnectionError error)
{
    printf("offline %d\n", error);
    is_over = true;
}

void Talk::handleMessage(const Message &message, MessageSession *)
{
    if (!message.body().empty()) {
        printf("message %s %s\n", message.from().full().c_str(), message.body().c_str());
    }
}

void Talk::handleLog(LogLevel, LogArea, const std::string &text)
{
    fprintf(stderr, "%ld %s\n", (long)time(nullptr), text.c_str());
}

void Talk::obey(const std::string &command)
{
    const size_t space = command.find(' ', 5);

    if (command.compare(0, 5, "send ") == 0 && space != std::string::npos) {
        client.send(
            Message(Message::Chat, JID(command.substr(5, space - 5)), command.substr(space + 1)));
    }
    else {
        client.disconnect();
        is_over = true;
    }
}

void Talk::read_commands()
{
    pollfd in = { STDIN_FILENO, POLLIN, 0 };
    char piece[4096];

    if (poll(&in, 1, 0) <= 0) {
        return;
    }
    const ssize_t got = read(STDIN_FILENO, piece, sizeof(piece));
    if (got <= 0) { /* whoever started us is gone */
        is_over = true;
        return;
    }
    input.append(piece, got);
    for (size_t end; !is_over && (end = input.find('\n')) != std::string::npos;) {
        const std::string command = input.substr(0, end);
        input.erase(0, end + 1);
        obey(command);
    }
}

int Talk::run()
{
    if (!client.connect(false)) {
        printf("offline cannot connect\n");
        return 1;
    }
    while (!is_over) {
        client.recv(PAUSE_US);
        if (!is_over) {
            read_commands();
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "talk_gloox MODE HOST PORT JID PASSWORD [CA]\n");
        return 2;
    }
    setvbuf(stdout, nullptr, _IOLBF, 0);
    srand(getpid()); /* gloox draws its rid with rand() */
    return Talk(argv + 1, argv[6]).run();
}
