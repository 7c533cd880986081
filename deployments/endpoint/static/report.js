"use strict";
// Shows a report that only a key opens. The frame is a sandbox without scripts.

const byId = (id) => document.getElementById(id);
const KEY = "lightbox-key";

async function load() {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { Authorization: "Bearer " + key } : {};
  try {
    const answer = await fetch("/report.html" + location.search, { headers });
    if (answer.status === 401) return askForKey(key);
    if (!answer.ok) return tell((await answer.json()).error.message);
    const version = answer.headers.get("x-lightbox-model-version");
    document.title = `Lightbox report: ${new URLSearchParams(location.search).get("name") || ""} ${version}`;
    byId("report").srcdoc = await answer.text();
    byId("report").hidden = false;
    byId("before").hidden = true;
  } catch (error) {
    tell("The endpoint does not answer.");
  }
}

function askForKey(given) {
  byId("key-hint").textContent = given
    ? "That key does not open this endpoint."
    : "It stays in this tab and is forgotten when the tab closes.";
  byId("key-form").hidden = false;
}

function tell(text) {
  byId("key-form").hidden = true;
  byId("problem").textContent = text;
  byId("problem").hidden = false;
}

byId("key-form").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value.trim());
  load();
};
load();
