/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The demo's chat: two people, one conversation, Strophe.js over BOSH.
 *
 * A reload does not log out. Strophe keeps sid and rid in sessionStorage, and goes on
 * with them; the conversation shown is kept there too. A second window has a storage of
 * its own, so the other person can log in there.
 */
"use strict";

const DOMAIN = "localhost";
const SERVICE = "/http-bind";
const ACCOUNTS = { alice: "rabbit-hole", bob: "sea-shanty" };
const $id = (id) => document.getElementById(id);
const nameOf = (user) => user[0].toUpperCase() + user.slice(1);

let connection = null;
let me = null;
let peer = null;

/* ---- what is kept over a reload ------------------------------------------------ */

const kept = {
  read: (key) => JSON.parse(sessionStorage.getItem("chat-" + key)),
  write: (key, value) => sessionStorage.setItem("chat-" + key, JSON.stringify(value)),
  clear: () => ["user", "messages", "presence"].forEach((k) => sessionStorage.removeItem("chat-" + k)),
};

/* ---- showing ------------------------------------------------------------------- */

function showState(text, mood) {
  $id("state").textContent = text;
  $id("state").className = "state " + mood;
  $id("send").disabled = mood !== "good";
}

function showPresence(isHere) {
  $id("presence").textContent = isHere ? "is here" : "not here yet";
  kept.write("presence", isHere);
}

function showMessage(message) {
  const item = document.createElement("li");
  const time = document.createElement("time");

  item.textContent = message.text;
  item.id = "m-" + message.id;
  item.classList.toggle("mine", message.mine);
  item.classList.toggle("failed", Boolean(message.failed));
  time.textContent = new Date(message.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  item.append(time);
  $id("messages").append(item);
  item.scrollIntoView({ block: "end" });
}

function addMessage(message) {
  kept.write("messages", [...(kept.read("messages") || []), message]);
  showMessage(message);
}

function markFailed(id) {
  const messages = kept.read("messages") || [];
  const found = messages.find((m) => m.mine && m.id === id);

  if (found) {
    found.failed = true;
    kept.write("messages", messages);
    $id("m-" + id).classList.add("failed");
  }
}

function showChat(user) {
  me = user;
  peer = user === "alice" ? "bob" : "alice";
  $id("login").hidden = true;
  $id("chat").hidden = false;
  $id("peer").textContent = nameOf(peer);
  $id("face").textContent = nameOf(peer)[0];
  $id("face").className = "face " + peer;
  $id("self").textContent = me + "@" + DOMAIN;
  $id("messages").replaceChildren();
  (kept.read("messages") || []).forEach(showMessage);
  showPresence(Boolean(kept.read("presence")));
  document.title = nameOf(me) + " in a chat with " + nameOf(peer);
  $id("text").focus();
}

function showLogin(problem) {
  kept.clear();
  $id("chat").hidden = true;
  $id("login").hidden = false;
  $id("enter").disabled = false;
  $id("problem").hidden = !problem;
  $id("problem").textContent = problem || "";
  $id("self").textContent = "not logged in";
  document.title = "Chat through mod_bosh";
}

/* ---- XMPP ---------------------------------------------------------------------- */

function onMessage(stanza) {
  const body = stanza.getElementsByTagName("body")[0];

  if (stanza.getAttribute("type") === "error") {
    markFailed(stanza.getAttribute("id"));
  } else if (body) {
    addMessage({ id: stanza.getAttribute("id"), text: body.textContent, mine: false, at: Date.now() });
    showPresence(true);
  }
  return true; /* Strophe: keep this handler */
}

/* Without a roster, the two tell each other that they are here; whoever comes second
 * is answered by the first. */
function onPresence(stanza) {
  const from = stanza.getAttribute("from") || "";
  const type = stanza.getAttribute("type");

  if (Strophe.getNodeFromJid(from) === peer && (type === null || type === "unavailable")) {
    const wasHere = kept.read("presence");

    showPresence(type === null);
    if (type === null && !wasHere) {
      connection.send($pres({ to: from }));
    }
  }
  return true;
}

function onOnline(isNew) {
  kept.write("user", me);
  connection.addHandler(onMessage, null, "message");
  connection.addHandler(onPresence, null, "presence");
  if (isNew) {
    connection.send($pres());
    connection.send($pres({ to: peer + "@" + DOMAIN }));
  }
  showState("online", "good");
}

function onStatus(status, condition) {
  const S = Strophe.Status;

  switch (status) {
  case S.CONNECTING:
  case S.AUTHENTICATING:
    showState("connecting", "");
    break;
  case S.CONNECTED:
    showChat(me);
    onOnline(true);
    break;
  case S.ATTACHED:
    onOnline(false);
    break;
  case S.AUTHFAIL:
    connection.reset();
    showLogin("That password is not right.");
    break;
  case S.CONNFAIL:
    showLogin("The server could not be reached" + (condition ? " (" + condition + ")." : "."));
    break;
  case S.DISCONNECTING:
    showState("logging out", "");
    break;
  case S.DISCONNECTED:
    /* Asked for, or the session was lost: a new login is needed either way. */
    if (!$id("chat").hidden) {
      showLogin(leaving ? "" : "The session has ended. Please log in again.");
    } else {
      $id("enter").disabled = false;
    }
    break;
  }
}

let leaving = false;

function newConnection() {
  leaving = false;
  connection = new Strophe.Connection(SERVICE, { keepalive: true });
}

/* ---- what people do ------------------------------------------------------------ */

function chosen() {
  return document.querySelector("input[name=who]:checked").value;
}

function logIn(event) {
  event.preventDefault();
  me = chosen();
  $id("enter").disabled = true;
  $id("problem").hidden = true;
  newConnection();
  connection.connect(me + "@" + DOMAIN, $id("password").value, onStatus);
}

function logOut() {
  leaving = true;
  connection.disconnect();
}

function send(event) {
  const text = $id("text").value.trim();

  event.preventDefault();
  if (!text || $id("send").disabled) {
    return;
  }
  const id = connection.getUniqueId();

  connection.send($msg({ to: peer + "@" + DOMAIN, type: "chat", id }).c("body").t(text));
  addMessage({ id, text, mine: true, at: Date.now() });
  $id("text").value = "";
}

function restore() {
  const user = kept.read("user");

  if (!user) {
    return;
  }
  newConnection();
  showChat(user);
  showState("resuming", "");
  try {
    connection.restore(user + "@" + DOMAIN, onStatus);
  } catch (e) {
    showLogin("");
  }
}

/* A page that the browser keeps for its back button would go on taking messages that
 * nobody sees: it gives up the request that is held, and starts anew when it comes back. */
window.addEventListener("pagehide", () => {
  if (connection) {
    connection._proto._requests.forEach((request) => {
      request.abort = true; /* Strophe: do not repeat it */
      request.xhr.abort();
    });
  }
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) {
    location.reload();
  }
});

$id("login").addEventListener("submit", logIn);
$id("compose").addEventListener("submit", send);
$id("leave").addEventListener("click", logOut);
document.querySelectorAll("input[name=who]").forEach((choice) => choice.addEventListener("change", () => {
  $id("password").value = ACCOUNTS[chosen()];
}));
$id("password").value = ACCOUNTS[chosen()];
restore();
