/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Keeps one page in jsdom. Commands come as lines of JSON, [name, arguments...], answers go
 * back the same way: {"value": ...} or {"error": ...}. "open" and "reload" are the keeper's,
 * all others are the page's own.
 */
"use strict";

const readline = require("readline");
const { JSDOM, ResourceLoader, VirtualConsole } = require("jsdom");

let dom = null;
let address = null;
let stored = {};

/* A browser's sessionStorage outlives its page; jsdom's does not. */
function keepStorage() {
  const storage = dom.window.sessionStorage;

  stored = {};
  for (let i = 0; i < storage.length; i++) {
    stored[storage.key(i)] = storage.getItem(storage.key(i));
  }
}

async function load() {
  dom = await JSDOM.fromURL(address, {
    runScripts: "dangerously",
    resources: new ResourceLoader({ strictSSL: false }),
    virtualConsole: new VirtualConsole(), /* requests that were aborted are no news */
    beforeParse(window) {
      Object.entries(stored).forEach(([key, value]) => window.sessionStorage.setItem(key, value));
      window.reloadPage = reloadPage;
    },
  });
  await new Promise((done) => {
    if (dom.window.document.readyState === "complete") {
      done();
    } else {
      dom.window.addEventListener("load", done);
    }
  });
}

let loading = Promise.resolve();

function reloadPage() {
  keepStorage();
  dom.window.close(); /* what it was waiting for is aborted */
  loading = load();
}

const own = {
  open(url) {
    address = url;
    loading = load();
  },
  reload: reloadPage,
};

async function obey([name, ...args]) {
  if (own[name]) {
    own[name](...args);
  }
  await loading;
  return own[name] ? null : dom.window.page[name](...args);
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  let answer;

  try {
    answer = { value: await obey(JSON.parse(line)) };
  } catch (e) {
    answer = { error: String(e.stack || e) };
  }
  process.stdout.write(JSON.stringify(answer, (_, v) => (v === undefined ? null : v)) + "\n");
}).on("close", () => process.exit(0));
