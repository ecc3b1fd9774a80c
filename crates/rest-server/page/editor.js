// The editor of a plan's text: a plain textarea, with line numbers beside it and a layer behind it in which what
// the server has to say about the text is underlined; below it the same as a list that leads to the places.

import { counted, h, keyed, setAttribute, setText, shown } from "./client.js";

const PAUSE = 400; // Milliseconds without a key before the server is asked.

/**
 * `check(text, signal)` asks the server and gives `{diagnostics, note}`; `typed(text)` hears of every change.
 * Gives `{element, text(), set(text), show(diagnostics), jump(line, column), checkNow(), close()}`.
 */
export function editor({ label, check, typed }) {
  let marks = [];
  let diagnostics = [];
  let previous = "";
  let timer = null;
  let asking = null;

  const area = h("textarea", {
    class: "code", wrap: "off", spellcheck: "false", autocapitalize: "off", autocomplete: "off", dir: "ltr",
    "aria-label": label, "aria-describedby": "plan-verdict",
  });
  const mirror = h("pre", { class: "mirror code", "aria-hidden": "true" });
  const gutter = h("pre", { class: "gutter code", "aria-hidden": "true" });
  const verdict = h("p", { class: "verdict", id: "plan-verdict", role: "status" });
  const note = h("p", { class: "quiet note" });
  const list = h("ol", { class: "diagnostics" });
  const element = h("div", { class: "editor" },
    h("div", { class: "sheet" }, gutter, h("div", { class: "paper" }, mirror, area)), verdict, note, list);

  area.addEventListener("scroll", follow, { passive: true });
  area.addEventListener("input", () => {
    marks = moved(marks, previous, area.value);
    previous = area.value;
    draw();
    typed?.(area.value);
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  });

  async function ask() {
    clearTimeout(timer);
    asking?.abort();
    const mine = new AbortController();
    asking = mine;
    const text = area.value;
    if (text.trim() === "") return show([], "");
    try {
      const found = await check(text, mine.signal);
      if (asking === mine) show(found.diagnostics, found.note);
    } catch (error) {
      if (asking === mine && error.name !== "AbortError") {
        setText(verdict, `Not checked: ${error.message}`);
      }
    }
  }

  function show(told, said = "") {
    diagnostics = [...told, ...unseen(area.value)];
    const starts = lineStarts(area.value);
    marks = diagnostics
      .filter((one) => one.line !== null)
      .map((one) => range(one, area.value, starts))
      .sort((a, b) => a.start - b.start || b.end - a.end);
    draw();
    const errors = diagnostics.filter((one) => one.severity === "error").length;
    const warnings = diagnostics.length - errors;
    const found = [];
    if (errors) found.push(counted(errors, "error"));
    if (warnings) found.push(counted(warnings, "warning"));
    const empty = area.value.trim() === "";
    setText(verdict, empty ? "" : found.join(", ") || "The plan is right.");
    setAttribute(verdict, "class", errors ? "verdict error" : warnings ? "verdict warning" : "verdict right");
    setAttribute(area, "aria-invalid", errors ? "true" : null);
    setText(note, said);
    note.hidden = said === "";
    keyed(list, diagnostics.map((one, at) => ({ one, key: `${at} ${JSON.stringify(one)}` })), (item) => item.key,
      (item) => row(item.one));
  }

  function row(one) {
    const place = one.line === null ? null
      : h("button", { type: "button", class: "place", on: { click: () => jump(one.line, one.column) } },
          `line ${one.line}:${one.column}`);
    const also = one.also
      ? h("p", { class: "quiet" },
          h("button", { type: "button", class: "place", on: { click: () => jump(one.also.line, one.also.column) } },
            `line ${one.also.line}:${one.also.column}`), " ", one.also.message)
      : null;
    return h("li", { class: one.severity },
      h("p", {}, place, " ", h("strong", {}, one.severity), " ", one.message,
        one.label ? ` — ${one.label}` : null),
      one.help ? h("p", { class: "help" }, one.help) : null, also);
  }

  function draw() {
    const text = area.value;
    const parts = [];
    let at = 0;
    for (const mark of marks) {
      const start = Math.max(mark.start, at);
      if (start >= mark.end) continue;
      // Not through `h`, which would show what cannot be seen: this layer lies under the text, letter by letter.
      parts.push(document.createTextNode(text.slice(at, start)));
      const piece = document.createElement("mark");
      piece.className = mark.severity;
      piece.textContent = text.slice(start, mark.end).replace(/^(?=\n|$)/, " ");
      parts.push(piece);
      at = mark.end;
    }
    mirror.replaceChildren(...parts);

    const worst = new Map();
    for (const one of diagnostics) {
      if (one.line !== null && worst.get(one.line) !== "error") worst.set(one.line, one.severity);
    }
    const lines = text.split("\n").length;
    const column = [];
    let from = 1;
    for (const line of [...worst.keys()].filter((line) => line <= lines).sort((a, b) => a - b)) {
      column.push(numbers(from, line), h("span", { class: worst.get(line) }, String(line)), line < lines ? "\n" : "");
      from = line + 1;
    }
    column.push(numbers(from, lines + 1).trimEnd());
    gutter.replaceChildren(...column);
    follow();
  }

  function follow() {
    mirror.style.transform = `translate(${-area.scrollLeft}px, ${-area.scrollTop}px)`;
    gutter.style.transform = `translateY(${-area.scrollTop}px)`;
  }

  function jump(line, column = 1) {
    const starts = lineStarts(area.value);
    const { start, end } = range({ line, column, end_line: line, end_column: column }, area.value, starts);
    area.focus();
    area.setSelectionRange(start, end);
    const height = parseFloat(getComputedStyle(area).lineHeight) || 20;
    area.scrollTop = Math.max(0, (line - 1) * height - area.clientHeight / 3);
    area.scrollIntoView({ block: "nearest" });
    follow();
  }

  return {
    element,
    text: () => area.value,
    set(text) {
      area.value = text;
      previous = area.value;
      show([]);
      area.scrollTop = 0;
    },
    show,
    jump,
    checkNow: ask,
    focus: () => area.focus(),
    close() {
      clearTimeout(timer);
      asking?.abort();
      asking = null;
    },
  };
}

function numbers(from, to) {
  let text = "";
  for (let line = from; line < to; line += 1) text += `${line}\n`;
  return text;
}

function lineStarts(text) {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

/** From lines and columns in characters to offsets of UTF-16, as a textarea counts; never empty. */
function range(one, text, starts) {
  const offset = (line, column) => {
    const start = starts[Math.min(line, starts.length) - 1];
    let at = start;
    for (let left = column - 1; left > 0 && at < text.length && text[at] !== "\n"; left -= 1) {
      at += text.codePointAt(at) > 0xffff ? 2 : 1;
    }
    return at;
  };
  const start = offset(one.line, one.column ?? 1);
  const end = offset(one.end_line ?? one.line, one.end_column ?? one.column ?? 1);
  return { start, end: Math.max(end, start + 1), severity: one.severity };
}

/** What is marked moves with the text around it as one types; what is typed into is no longer marked. */
function moved(marks, before, after) {
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < most - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  const by = after.length - before.length;
  return marks
    .filter((mark) => mark.end <= head || mark.start >= before.length - tail)
    .map((mark) => (mark.end <= head ? mark : { ...mark, start: mark.start + by, end: mark.end + by }));
}

/** A text can be made to look like another one: marks that turn its direction, characters that cannot be seen. */
function unseen(text) {
  const found = [];
  let line = 0;
  for (const one of text.split("\n")) {
    line += 1;
    const visible = shown(one);
    if (visible === one || found.length === 20) continue;
    const at = [...one].findIndex((c) => shown(c) !== c);
    found.push({
      severity: "warning", code: "unseen", label: null, also: null,
      message: `a character that cannot be seen: ${shown([...one][at])}`,
      help: "if it is meant, write it as an escape in quotes",
      line, column: at + 1, end_line: line, end_column: at + 2,
    });
  }
  return found;
}
