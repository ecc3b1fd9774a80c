// What both pages share: elements made of text only, the token, calls of the API, the stream of events.
// Nothing here, and nothing in the other modules, ever parses HTML: what the API says becomes text nodes and
// attributes, with control characters and marks that turn the direction of text made visible.

// ---------------------------------------------------------------------------------------------- elements

const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;

/** A text as it may be shown: what cannot be seen, or turns the text around it, reads `\u{202E}`. */
export function shown(text) {
  return String(text)
    .replaceAll("\r\n", "\n")
    .replace(UNSEEN, (c) => `\\u{${c.codePointAt(0).toString(16).toUpperCase()}}`);
}

/** Makes an element. Strings among `children` become text; `on` holds listeners; all else is an attribute. */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else {
      setAttribute(element, name, value);
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) element.append(shown(child));
  }
  return element;
}

/** Sets, or with null or false removes, an attribute; touches nothing if it is so already. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : shown(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Sets an element's text; touches nothing if it is so already, so that nothing is laid out anew. */
export function setText(element, value) {
  const text = value === null || value === undefined ? "" : shown(value);
  const only = element.firstChild;
  if (only && only === element.lastChild && only.nodeType === Node.TEXT_NODE) {
    if (only.data !== text) only.data = text;
  } else if (element.textContent !== text || element.childElementCount > 0) {
    element.textContent = text;
  }
}

/** Keeps the children of `parent` in step with `items`: made once by key, then updated where they are. */
export function keyed(parent, items, keyOf, make, update) {
  const before = parent.keyedRows ?? new Map();
  const after = new Map();
  let place = null;
  for (const item of items) {
    const key = keyOf(item);
    if (after.has(key)) continue;
    const row = before.get(key) ?? make(item);
    after.set(key, row);
    update?.(row, item);
    const next = place ? place.nextSibling : parent.firstChild;
    if (row !== next) parent.insertBefore(row, next);
    place = row;
  }
  for (const [key, row] of before) if (after.get(key) !== row) row.remove();
  parent.keyedRows = after;
}

// ------------------------------------------------------------------------------------------------- token

const KEPT = "syncctl-token";

/** Takes the token of `#token=…` out of the address bar. One that is kept stays: a link signs nobody out. */
export function takeTokenFromAddress() {
  const found = /^#(?:.*&)?token=([^&]*)/.exec(location.hash);
  if (!found) return;
  try {
    if (!hasToken()) sessionStorage.setItem(KEPT, decodeURIComponent(found[1]));
  } catch {
    // No storage, or no valid escape: the form asks.
  }
  history.replaceState(null, "", location.pathname + location.search);
}

export function forgetToken() {
  sessionStorage.removeItem(KEPT);
}

export function hasToken() {
  return sessionStorage.getItem(KEPT) !== null;
}

let asking = null;

/** Asks for the token until one is right. Whoever calls meanwhile waits for the same answer. */
export function signIn(why = "") {
  asking ??= new Promise((resolve) => {
    const field = h("input", {
      id: "token", type: "password", required: true, autocomplete: "current-password", spellcheck: "false",
      "aria-describedby": "token-why token-where",
    });
    const problem = h("p", { id: "token-why", class: "problem", role: "alert" }, why);
    const dialog = h("dialog", { id: "sign-in", "aria-labelledby": "sign-in-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "sign-in-title" }, "Sign in"),
        // For password managers, which keep passwords by name.
        h("input", { type: "text", name: "username", autocomplete: "username", value: "syncctl", hidden: true }),
        h("label", { for: "token" }, "The server's token"), field, problem,
        h("p", { id: "token-where", class: "quiet" },
          "When it starts, the server says which file holds it. It is kept until this tab is closed."),
        h("div", { class: "actions end" }, h("button", { class: "primary" }, "Sign in"))));
    // Without a token there is nothing to go back to.
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("submit", async (event) => {
      event.preventDefault();
      const token = field.value.trim();
      // Header values hold visible ASCII only; anything else cannot be the token.
      if (!/^[\x21-\x7e]+$/.test(token)) return setText(problem, "This is not the server's token.");
      try {
        const answer = await fetch("/api/v1/plans", { headers: { Authorization: `Bearer ${token}` } });
        if (answer.status === 401) {
          setText(problem, "This is not the server's token.");
          field.select();
          return;
        }
      } catch {
        setText(problem, "The server cannot be reached.");
        return;
      }
      sessionStorage.setItem(KEPT, token);
      asking = null;
      dialog.close();
      dialog.remove();
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
  return asking;
}

// ------------------------------------------------------------------------------------------------- calls

/** An answer that says no. `problem` is what RFC 9457 says of it. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the server answers ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** Calls the API and gives the answer's JSON. Throws `Refused`, or an Error in words for people. */
export async function call(method, path, { json, toml, signal } = {}) {
  for (;;) {
    const answer = await ask(path, {
      method,
      signal,
      headers: { Accept: "application/json", ...bodyType(json, toml) },
      body: toml ?? (json === undefined ? undefined : JSON.stringify(json)),
    });
    if (answer.status === 401) {
      await rejected(answer.token);
      continue;
    }
    const text = await answer.text();
    let body = null;
    try {
      body = text === "" ? null : JSON.parse(text);
    } catch {
      throw new Error(`the server's answer (${answer.status}) is not JSON`);
    }
    if (!answer.ok) throw new Refused(answer.status, body ?? {});
    return body;
  }
}

function bodyType(json, toml) {
  if (toml !== undefined) return { "Content-Type": "application/toml" };
  return json === undefined ? {} : { "Content-Type": "application/json" };
}

async function ask(path, options) {
  const token = sessionStorage.getItem(KEPT);
  if (token !== null) options.headers.Authorization = `Bearer ${token}`;
  try {
    const answer = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
    return Object.assign(answer, { token });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server cannot be reached");
  }
}

/** `token` is what was sent: a better one may have been given meanwhile. */
async function rejected(token) {
  if (sessionStorage.getItem(KEPT) !== token) return;
  forgetToken();
  await signIn(token === null ? "" : "The token that was kept is not this server's.");
}

// ------------------------------------------------------------------------------------------------ events

const SILENCE = 45_000; // The server says something at least every 15 s.

/**
 * Reads the stream of events for ever. `on(name, data)` gets each; "gap" says that some were missed. `link(true or
 * false)` says whether the server is heard.
 */
export async function follow(on, link) {
  let last = null;
  let boot = null;
  let pause = 500;
  for (;;) {
    const stop = new AbortController();
    let silence = setTimeout(() => stop.abort(), SILENCE);
    try {
      const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
      const answer = await ask("/api/v1/events", { headers, signal: stop.signal });
      if (answer.status === 401) {
        await rejected(answer.token);
        continue;
      }
      if (!answer.ok) throw new Error(`events: ${answer.status}`);
      for await (const event of events(answer.body, () => {
        clearTimeout(silence);
        silence = setTimeout(() => stop.abort(), SILENCE);
      })) {
        if (event.id !== null) last = event.id;
        let data = null;
        try {
          data = JSON.parse(event.data);
        } catch {
          continue;
        }
        if (event.name === "hello") {
          pause = 500;
          link(true);
          if (boot !== null && boot !== data.boot) {
            last = null;
            on("gap", {});
          }
          boot = data.boot;
        }
        on(event.name, data);
      }
    } catch {
      // Gone; tried again below.
    } finally {
      clearTimeout(silence);
      stop.abort();
    }
    link(false);
    await new Promise((resolve) => setTimeout(resolve, pause * (0.75 + Math.random() / 2)));
    pause = Math.min(pause * 2, 15_000);
  }
}

/** The events of a body, as the HTML standard says a stream of them is read. */
async function* events(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "message", data: "", id: null };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data !== "") yield { ...event, data: event.data.slice(0, -1) };
        event = { name: "message", data: "", id: null };
        continue;
      }
      const at = line.indexOf(":");
      const field = at < 0 ? line : line.slice(0, at);
      const text = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
      if (field === "event") event.name = text;
      else if (field === "data") event.data += `${text}\n`;
      else if (field === "id") event.id = text;
    }
  }
}

// ----------------------------------------------------------------------------------------- words, numbers

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function number(value) {
  return WHOLE.format(value);
}

/** "1 request", "2 requests". */
export function counted(value, word) {
  return `${WHOLE.format(value)} ${word}${value === 1 ? "" : "s"}`;
}

/** Something a second: small ones with a decimal. */
export function rate(value) {
  return value > 0 && value < 10 ? TENTHS.format(value) : WHOLE.format(value);
}

export function bytes(value) {
  if (value < 1000) return `${WHOLE.format(value)} B`;
  let size = value;
  for (const unit of ["kB", "MB", "GB", "TB"]) {
    size /= 1000;
    if (size < 1000 || unit === "TB") return `${size < 10 ? TENTHS.format(size) : WHOLE.format(size)} ${unit}`;
  }
}

export function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 0.1) return s === 0 ? "0 s" : `${Math.ceil(s * 1000)} ms`;
  if (s < 1) return `${TENTHS.format(s)} s`;
  if (s < 100) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`.replace(/ 0 s$/, "").replace(/ 60 s$/, " 59 s");
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`.replace(/ 0 min$/, "");
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`.replace(/ 0 h$/, "");
}

/** "in 3 min", "5 min ago": coarse, so that it does not change all the time. */
export function relative(time, now) {
  const s = (Date.parse(time) - now) / 1000;
  const away = Math.abs(s);
  const minutes = Math.round(away / 60);
  const text =
    away < 5 ? "now"
    : away < 59.5 ? `${Math.round(away)} s`
    : minutes < 60 ? `${minutes} min`
    : minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min`.replace(/ 0 min$/, "")
    : `${Math.round(away / 86400)} days`;
  return text === "now" ? text : s > 0 ? `in ${text}` : `${text} ago`;
}

const two = (value) => String(value).padStart(2, "0");

/** A time on this device's clock: "2026-11-23 06:00:00"; the date is left out where it is today's. */
export function clock(time, now) {
  const at = new Date(time);
  const today = new Date(now).toDateString() === at.toDateString();
  const hours = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return today ? hours : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${hours}`;
}
