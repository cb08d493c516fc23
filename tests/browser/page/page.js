/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the tests tell a page to do, and ask it. The same file runs in Chromium and in jsdom;
 * Strophe.js beside it is Debian's, unchanged. All that a test wants to know later is in
 * sessionStorage, because pages are reloaded.
 */
"use strict";

const SERVICE = "/http-bind";
/* A request that is younger may never leave, if the page goes now: Strophe counted its rid
 * already, and the session would wait for it in vain. */
const SETTLED_MS = 40;

let connection = null;
let status = 0;
let dice = Math.random;

/* ---- what is kept over a reload ------------------------------------------------ */

const kept = {
  append(kind, text) {
    const n = kept.count(kind);

    sessionStorage.setItem(kind + "-" + n, text);
    sessionStorage.setItem(kind, n + 1);
  },
  count: (kind) => Number(sessionStorage.getItem(kind) || 0),
  all: (kind) => Array.from({ length: kept.count(kind) },
    (_, i) => sessionStorage.getItem(kind + "-" + i)),
};

/* ---- the network below Strophe: requests may be aborted ------------------------ */

const harm = { share: 0, most: 0, seen: new Set(), done: 0 };
const open = new Set();

/* Strophe repeats an aborted request at once, but only the first time: a second abort of the
 * same one would cost it seconds, and say nothing new. */
function maybeAbort(xhr, body) {
  const isNew = !harm.seen.has(body);

  harm.seen.add(body);
  if (!isNew || dice() >= harm.share) {
    return;
  }
  const act = () => {
    if (open.has(xhr)) {
      harm.done++;
      xhr.abort();
    }
  };
  const delay = dice() * harm.most * 1.3 - harm.most * 0.3;

  if (delay < 0) {
    Promise.resolve().then(act); /* before anything else happens */
  } else {
    setTimeout(act, delay);
  }
}

/* What came with which rid: when a repeated request and a newer one are answered at the same
 * time, Strophe does not look at the rids, and turns them round. */
function noteAnswer(xhr, body) {
  const rid = Number(/ rid=['"](\d+)/.exec(body)[1]);
  const texts = (xhr.responseText.match(/<body>[^<]*/g) || []).map((t) => t.slice(6));

  if (xhr.status === 200 && texts.length) {
    kept.append("answer", JSON.stringify([rid, texts]));
  }
}

const PlainRequest = window.XMLHttpRequest;

window.XMLHttpRequest = class extends PlainRequest {
  send(body) {
    this.began = Date.now();
    open.add(this);
    this.addEventListener("load", () => noteAnswer(this, body));
    this.addEventListener("loadend", () => open.delete(this));
    super.send(body);
    if (harm.share) {
      maybeAbort(this, body);
    }
  }
};

/* ---- XMPP ---------------------------------------------------------------------- */

function onMessage(stanza) {
  const body = stanza.getElementsByTagName("body")[0];

  if (body && stanza.getAttribute("type") !== "error") {
    kept.append("seen", body.textContent);
  }
  return true;
}

function onPresence(stanza) {
  kept.append("presence", stanza.getAttribute("from") + " " + (stanza.getAttribute("type") || "available"));
  return true;
}

function onStatus(now, condition) {
  const S = Strophe.Status;

  status = now;
  kept.append("status", Object.keys(S).find((k) => S[k] === now) + (condition ? " " + condition : ""));
  if (now === S.CONNECTED || now === S.ATTACHED) {
    connection.addHandler(onMessage, null, "message");
    connection.addHandler(onPresence, null, "presence");
    sessionStorage.setItem("jid", connection.jid);
  }
  if (now === S.CONNECTED) {
    connection.send($pres());
    connection.flush();
  }
}

function connect() {
  connection = new Strophe.Connection(SERVICE, { keepalive: true });
}

function random(seed) {
  let state = seed >>> 0;

  return () => { /* mulberry32 */
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/* The words of a request to end, as a page sends them that has no time to wait. */
function lastWords() {
  const bosh = connection._proto;

  return "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' rid='" + bosh.rid
    + "' sid='" + bosh.sid + "'><presence xmlns='jabber:client' type='unavailable'/></body>";
}

/* jsdom loads no pages by itself: there, its keeper does it. */
const reload = () => (window.reloadPage ? window.reloadPage() : location.reload());

window.page = {
  seed(number) {
    dice = random(number);
  },
  login(jid, password) {
    connect();
    connection.connect(jid, password, onStatus);
  },
  attach(jid, sid, rid) {
    connect();
    connection.attach(jid, sid, rid, onStatus, 60, 1, 2);
  },
  leave() {
    connection.disconnect();
  },
  greet(to) {
    connection.send($pres({ to }));
    connection.flush();
  },

  /* `count` messages, each at most `gap` ms after the one before, the first one at `start`. */
  burst(to, texts, gap, start) {
    const next = () => {
      connection.send($msg({ to, type: "chat" }).c("body").t(texts.shift()));
      if (dice() < 0.8) {
        connection.flush(); /* else Strophe waits for more, and puts them into one request */
      }
      if (texts.length) {
        setTimeout(next, dice() * gap);
      }
    };
    setTimeout(next, start ? start - Date.now() : 0);
  },

  /* From now on this share of new requests is aborted, up to `most` ms after it was sent. */
  harm(share, most) {
    harm.share = share;
    harm.most = most;
    return harm.done;
  },

  reloadAt(time) {
    const attempt = () => {
      if ([...open].some((xhr) => Date.now() - xhr.began < SETTLED_MS)) {
        setTimeout(attempt, 3);
        return;
      }
      connection.pause(); /* a page is still alive for a while when it is being left */
      reload();
    };
    setTimeout(attempt, time - Date.now());
  },

  sayGoodbyeWhenHidden() {
    window.addEventListener("pagehide", () => {
      connection.pause();
      navigator.sendBeacon(SERVICE, lastWords()); /* as text/plain, which no preflight delays */
    });
  },

  count: () => kept.count("seen"),
  state() {
    return {
      online: connection !== null
        && (status === Strophe.Status.CONNECTED || status === Strophe.Status.ATTACHED),
      jid: sessionStorage.getItem("jid"),
      session: connection && { sid: connection._proto.sid, rid: connection._proto.rid },
      waiting: open.size,
      seen: kept.all("seen"),
      answers: kept.all("answer").map(JSON.parse),
      presence: kept.all("presence"),
      status: kept.all("status"),
    };
  },
};

/* A page that was online before it was reloaded goes on. */
if (sessionStorage.getItem("strophe-bosh-session")) {
  connect();
  connection.restore(sessionStorage.getItem("jid"), onStatus);
}
