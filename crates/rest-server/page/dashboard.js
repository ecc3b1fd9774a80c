// The dashboard: what the plans are doing, and the buttons to make them do something else. A client of the public
// API and of its stream of events; it knows nothing that another client could not know.
//
// In this order: what is known (and how it is kept up), small parts (icons, bars, charts, gauges), the pages
// (all plans; one plan and its tabs; a new plan), and what ties them together (address, painting, polling).

import {
  Refused, bytes, call, clock, counted, duration, follow, forgetToken, h, hasToken, keyed, number, rate, relative,
  setAttribute, setText, shown, signIn, svg, takeTokenFromAddress,
} from "./client.js";
import { editor } from "./editor.js";

const PLANS = "/api/v1/plans";
const REPAINT = 250; //    At most four times a second.
const REMEMBERED = 300; // Seconds that the charts go back.
const SMOOTHED = 5; //     Seconds over which a rate is taken.

const pathOf = (name) => `${PLANS}/${encodeURIComponent(name)}`;
const pageOf = (name, ...more) => `#/plans/${[name, ...more].map(encodeURIComponent).join("/")}`;

// ------------------------------------------------------------------------------------------ what is known

const known = {
  plans: null, //        By name, as the list gives them; null until the first answer.
  workers: [],
  budgets: [],
  budgetsAt: 0,
  heard: false, //       The stream of events is open.
  problem: "", //        Why the list could not be had.
  meters: new Map(), //  By plan, and "" for all: how counts grew.
  lately: new Map(), //  By plan: what was told, newest first.
  drafts: new Map(), //  By plan ("" for a new one): a text that was typed and not sent.
};

/** Counts over time, a sample a second or so: what charts and rates are made of. */
class Meter {
  samples = [];

  add(at, requests, records) {
    const last = this.samples.at(-1);
    // A run that begins, or goes on, counts from the start again.
    const before = last ?? { requests, records, sent: 0, landed: 0 };
    const sent = before.sent + Math.max(0, requests - before.requests);
    const landed = before.landed + Math.max(0, records - before.records);
    if (last && at - last.at < 0.2) this.samples.pop();
    this.samples.push({ at, requests, records, sent, landed });
    while (this.samples[0].at < at - REMEMBERED - 10) this.samples.shift();
  }

  /** What is added a second, over the last seconds; nothing if nothing was heard lately. */
  rates(now) {
    const last = this.samples.at(-1);
    if (!last || now - last.at > 3) return { requests: 0, records: 0 };
    let first = last;
    for (let at = this.samples.length - 1; at >= 0 && this.samples[at].at >= last.at - SMOOTHED; at -= 1) {
      first = this.samples[at];
    }
    const seconds = last.at - first.at;
    if (seconds < 0.5) return { requests: 0, records: 0 };
    return { requests: (last.sent - first.sent) / seconds, records: (last.landed - first.landed) / seconds };
  }

  /** One value a second for the last minutes, oldest first. */
  series(now, field) {
    const values = new Array(REMEMBERED).fill(0);
    const last = this.samples.at(-1)?.at ?? now;
    const end = now - last < 3 ? last : now; // The second that is not over yet is left out.
    for (let at = 1; at < this.samples.length; at += 1) {
      const [a, b] = [this.samples[at - 1], this.samples[at]];
      const seconds = b.at - a.at;
      if (seconds > 10) continue; // Nothing ran in between.
      const perSecond = (b[field] - a[field]) / seconds;
      const from = Math.max(0, Math.round(REMEMBERED - (end - a.at)));
      const to = Math.min(REMEMBERED, Math.round(REMEMBERED - (end - b.at)));
      for (let second = from; second < to; second += 1) values[second] = perSecond;
    }
    return values;
  }
}

function meter(plan) {
  if (!known.meters.has(plan)) known.meters.set(plan, new Meter());
  return known.meters.get(plan);
}

const inSeconds = () => performance.now() / 1000;

/** `progress`: numbers of the plans that run, once a second. */
function onProgress({ plans }) {
  const now = inSeconds();
  for (const heard of plans) {
    const plan = known.plans?.get(heard.plan);
    meter(heard.plan).add(now, heard.requests, heard.records);
    if (!plan) continue;
    plan.state = heard.state;
    plan.run = heard.run ?? plan.run;
    for (const field of Object.keys(plan.counts)) plan.counts[field] = heard[field] ?? plan.counts[field];
  }
  // Of all plans: the sum of what each has added, so that a plan that begins anew does not pull it down.
  let sent = 0;
  let landed = 0;
  for (const [name, one] of known.meters) {
    if (name === "") continue;
    sent += one.samples.at(-1)?.sent ?? 0;
    landed += one.samples.at(-1)?.landed ?? 0;
  }
  meter("").add(now, sent, landed);
  invalidate();
}

/** Any event: what it changes is asked for again; what people should hear is said. */
function onEvent(name, data) {
  if (name === "progress") return onProgress(data);
  if (name === "hello" || name === "gap") return reload();
  const plan = data.plan ?? data.report?.plan;
  if (plan) remember(plan, name, data);
  const words = concerns(name, data, plan) ? announcement(name, data, plan) : "";
  if (words) say(words);
  if (name.startsWith("plan_") || name.startsWith("run_") || name === "start_failed") reload();
  page?.heard?.(name, data, plan);
  if (name === "run_started" || name === "run_ended") pollNow();
  invalidate();
}

const ENDED = {
  complete: "is complete", failed: "ended with failures", interrupted: "was interrupted", paused: "waits for a limit",
  broken: "cannot go on",
};

/** Whether people should hear of it: of the plan they look at, of what they asked for, and of what went wrong. */
function concerns(name, data, plan) {
  const went = name === "run_ended" ? data.report.state : "";
  return page?.plan === plan || asked.has(plan) || name === "start_failed" || went === "failed" || went === "broken";
}

function announcement(name, data, plan) {
  if (name === "run_ended") return `${plan}: run ${data.report.run} ${ENDED[data.report.state] ?? data.report.state}`;
  if (name === "run_started") return `${plan}: run ${data.run} ${data.resumed ? "goes on" : "has begun"}`;
  if (name === "start_failed") return `${plan} could not start: ${data.why}`;
  return "";
}

function remember(plan, name, data) {
  const words = told(name, data);
  if (!words) return;
  const list = known.lately.get(plan) ?? [];
  list.unshift({ at: Date.now(), words, bad: name === "failed" || name === "start_failed" });
  list.length = Math.min(list.length, 40);
  known.lately.set(plan, list);
}

/** An event in words; none for those that numbers show better. */
function told(name, data) {
  const why = data.failure && `${data.failure.message}${data.failure.status ? ` (${data.failure.status})` : ""}`;
  switch (name) {
    case "run_started": return `run ${data.run} ${data.resumed ? "goes on" : "begins"}`;
    case "run_ended": return `run ${data.report.run} ${ENDED[data.report.state] ?? data.report.state}${data.report.reason ? `: ${data.report.reason}` : ""}`;
    case "start_failed": return `could not start: ${data.why}`;
    case "retrying": return `${data.task}: tried again in ${duration(data.after)}, after attempt ${data.attempt}: ${why}`;
    case "waiting": return `${data.endpoint}: everyone waits ${duration(data.how_long)}: ${why}`;
    case "learned": return `${data.endpoint}: the server takes less than ${data.limit}; from now on ${rate(data.rate)}/s`;
    case "failed": return `${data.task} failed: ${why}`;
    case "task_ended": return `${data.task}: done, ${counted(data.records, "record")}`;
    case "plan_replaced": return `replaced: ${(data.changes ?? []).join(", ") || "nothing changed"}`;
    case "more": return `and ${number(data.count)} more such events (${data.event})`;
    default: return "";
  }
}

let reloading = null;
let reloadAgain = false;

/** Asks for the list, soon; calls that come meanwhile are answered by the one after. */
function reload() {
  if (reloading) {
    reloadAgain = true;
    return reloading;
  }
  reloading = (async () => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    do {
      reloadAgain = false;
      try {
        const { plans } = await call("GET", PLANS);
        known.plans = new Map(plans.map((plan) => [plan.name, plan]));
        for (const name of known.meters.keys()) if (name && !known.plans.has(name)) known.meters.delete(name);
        known.problem = "";
        page?.changed?.();
      } catch (error) {
        known.problem = error.message;
      }
      invalidate();
    } while (reloadAgain);
    reloading = null;
  })();
  return reloading;
}

const runs = (plan) => plan.state === "running" || plan.state === "draining" || plan.busy !== null;
const anyRuns = () => known.plans !== null && [...known.plans.values()].some(runs);

async function loadPool() {
  const [workers, budgets] = await Promise.all([call("GET", "/api/v1/workers"), call("GET", "/api/v1/budgets")]);
  known.workers = workers.workers;
  known.budgets = budgets.limits;
  known.budgetsAt = inSeconds();
}

// -------------------------------------------------------------------------------------------- small parts

const ICONS = {
  idle: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Z",
  running: "M5 3.5 12.5 8 5 12.5Z",
  paused: "M5.5 3.5v9M10.5 3.5v9",
  draining: "M8 2.5v7M4.8 6.5 8 9.7l3.2-3.2M3.5 13h9",
  complete: "M3.5 8.5 6.5 11.5 12.5 4.5",
  failed: "M4 4l8 8M12 4l-8 8",
  interrupted: "M4.5 4.5h7v7h-7Z",
  broken: "M8 2.5 14 13H2ZM8 6.5v3M8 11.2v.2",
};

function stateBadge() {
  const path = svg("path", { d: ICONS.idle });
  const word = h("span");
  const element = h("span", { class: "state" },
    svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" }, path), word);
  return {
    element,
    show(state, busy = null) {
      setAttribute(element, "class", `state ${state}${busy ? " busy" : ""}`);
      setAttribute(path, "d", ICONS[state] ?? ICONS.idle);
      setText(word, busy ? `${busy}…` : state);
    },
  };
}

/** Done of known. While more may come to be known, what is left is hatched. */
function bar(label) {
  const done = h("i", { class: "done" });
  const failed = h("i", { class: "failed" });
  const element = h("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0" }, done, failed);
  return {
    element,
    show({ done: finished, failed: bad, known: all }, open, still) {
      const share = (part) => (all > 0 ? Math.min(1, part / all) : 0);
      width(done, share(finished - bad));
      width(failed, share(bad));
      setAttribute(element, "class", `bar${open ? " open" : ""}${still ? " still" : ""}`);
      setAttribute(element, "aria-valuemax", Math.max(all, 1));
      setAttribute(element, "aria-valuenow", finished);
      setAttribute(element, "aria-valuetext", `${number(finished)} of ${open ? "at least " : ""}${counted(all, "request")}`);
    },
  };
}

function width(element, share) {
  const text = `${(share * 100).toFixed(2)}%`;
  if (element.style.width !== text) element.style.width = text;
}

/** A line over the last five minutes, with its own scale. */
function chart(title, className) {
  const line = svg("path", { class: "line" });
  const area = svg("path", { class: "area" });
  const now = h("strong");
  const most = h("span", { class: "quiet" });
  const picture = svg("svg", { viewBox: `0 0 ${REMEMBERED - 1} 60`, preserveAspectRatio: "none", role: "img" }, area, line);
  const element = h("figure", { class: `chart ${className}` },
    h("figcaption", {}, h("span", {}, title), now, most), picture,
    h("div", { class: "axis quiet", "aria-hidden": "true" }, h("span", {}, "5 min ago"), h("span", {}, "now")));
  let described = -Infinity;
  return {
    element,
    show(values, current) {
      const top = Math.max(...values, 1);
      const points = values.map((value, at) => `${at} ${(58 - (value / top) * 54).toFixed(1)}`);
      setAttribute(line, "d", `M${points.join("L")}`);
      setAttribute(area, "d", `M0 60L${points.join("L")}L${REMEMBERED - 1} 60Z`);
      setText(now, rate(current));
      setText(most, `most ${rate(Math.max(...values))}`);
      // What is read aloud changes every ten seconds, not all the time.
      if (inSeconds() - described > 10) {
        described = inSeconds();
        setAttribute(picture, "aria-label",
          `${title}: now ${rate(current)}, at most ${rate(Math.max(...values))} in the last five minutes`);
      }
    },
  };
}

function charts() {
  const requests = chart("requests/s", "requests");
  const records = chart("rows/s", "records");
  let drawn = -Infinity;
  return {
    element: h("div", { class: "charts" }, requests.element, records.element),
    show(plan) {
      const now = inSeconds();
      const source = meter(plan);
      const current = source.rates(now);
      if (now - drawn < 0.9) return;
      drawn = now;
      requests.show(source.series(now, "sent"), current.requests);
      records.show(source.series(now, "landed"), current.records);
    },
  };
}

/** A limit as a gauge: used here, used elsewhere, left; and what is between now and the next token. */
function gauge(item) {
  const [used, elsewhere, shut] = [h("i", { class: "used" }), h("i", { class: "elsewhere" }), h("i", { class: "shut" })];
  const meterElement = h("div", { class: "gauge", role: "meter", "aria-valuemin": "0" }, used, elsewhere, shut);
  const who = h("span", { class: "quiet" });
  const [numbers, next] = [h("span"), h("span", { class: "quiet" })];
  const element = h("li", {}, h("div", { class: "row" }, h("bdi", { class: "name" }, item.limit), who), meterElement,
    h("div", { class: "row numbers" }, numbers, next));
  element.show = (limit, since) => {
    const closed = Math.max(0, (limit.closed_seconds ?? 0) - since);
    const share = (part) => (limit.allowed > 0 ? Math.min(1, part / limit.allowed) : 0);
    // A moment's fullness is what the server said; the style sheet lets it slide to the next one.
    width(used, share(limit.used));
    width(elsewhere, Math.min(share(limit.elsewhere), 1 - share(limit.used)));
    shut.hidden = closed <= 0;
    setAttribute(element, "class", closed > 0 ? "closed" : limit.used + limit.elsewhere >= limit.allowed ? "full" : null);
    const users = limit.plans ? limit.plans.map((user) => `${user.plan}/${user.endpoint}`).join(", ") : limit.endpoint;
    setText(who, users);
    setAttribute(meterElement, "aria-valuemax", limit.allowed);
    setAttribute(meterElement, "aria-valuenow", Math.min(limit.allowed, limit.used + limit.elsewhere));
    setAttribute(meterElement, "aria-label", `${limit.limit} of ${users}`);
    const left = Math.max(0, limit.allowed - limit.used - limit.elsewhere);
    const said = `${number(limit.used)} used${limit.elsewhere ? ` · ${number(limit.elsewhere)} elsewhere` : ""} · ${number(left)} left`;
    setText(numbers, said);
    setAttribute(meterElement, "aria-valuetext", said);
    const until = Math.max(0, (limit.next_seconds ?? 0) - since);
    const learned = limit.learned_rate !== null ? ` · learned ${rate(limit.learned_rate)}/s` : "";
    setText(next,
      (closed > 0 ? `closed for ${duration(closed)}` : limit.next_seconds !== null && left === 0 ? `next ${until < 0.1 ? "in a moment" : `in ${duration(until)}`}`
        : `per ${duration(limit.window_seconds)}`) + learned);
  };
  return element;
}

function gauges() {
  const list = h("ul", { class: "gauges" });
  const empty = h("p", { class: "quiet" }, "Limits show here while a plan runs.");
  return {
    element: h("section", { class: "card" }, h("h2", {}, "Limits"), list, empty),
    show(limits, since) {
      empty.hidden = limits.length > 0;
      keyed(list, limits, (limit) => `${limit.budget} ${limit.endpoint ?? ""} ${limit.limit}`, gauge,
        (row, limit) => row.show(limit, since));
    },
  };
}

/** The pool: a square for each worker, and what they do, counted. */
function pool() {
  const squares = h("div", { class: "squares", "aria-hidden": "true" });
  const counts = h("p", { class: "numbers" });
  const doing = h("ul", { class: "doing" });
  return {
    element: h("section", { class: "card" }, h("h2", {}, "Workers"), counts, squares, doing),
    show(workers) {
      const count = { busy: 0, idle: 0, restarting: 0 };
      const tasks = new Map();
      let restarts = 0;
      for (const worker of workers) {
        count[worker.state] = (count[worker.state] ?? 0) + 1;
        restarts += worker.restarts;
        if (worker.doing) tasks.set(worker.doing, (tasks.get(worker.doing) ?? 0) + 1);
      }
      setText(counts, workers.length === 0 ? "none yet"
        : `${count.busy} busy · ${count.idle} idle${count.restarting ? ` · ${count.restarting} restarting` : ""}` +
          (restarts ? ` · ${number(restarts)} replaced` : ""));
      setAttribute(squares, "class", workers.length > 96 ? "squares many" : "squares");
      keyed(squares, workers.slice(0, 512), (worker) => worker.id, () => h("i"), (square, worker) => {
        setAttribute(square, "class", worker.state);
        setAttribute(square, "title",
          `worker ${worker.id}: ${worker.doing ?? worker.state}${worker.since_seconds ? `, ${duration(worker.since_seconds)}` : ""}`);
      });
      const most = [...tasks].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, 8);
      keyed(doing, most, ([what]) => what, ([what]) => h("li", {}, h("bdi", {}, what), h("span", { class: "quiet" })),
        (row, [, times]) => setText(row.lastChild, `× ${times}`));
    },
  };
}

/** The buttons that fit what a plan is doing. The ones there are stay, so that focus does. */
function actions(name, { few = false } = {}) {
  const button = (verb, words, className = "") => h("button", {
    type: "button", class: className, "data-verb": verb, "aria-label": `${words} ${name}`,
    on: { click: () => act(name, verb) },
  }, words);
  const all = [
    button("start", "Start", "primary"), button("resume", "Resume", "primary"), button("retry", "Retry failed"),
    button("pause", "Pause"), button("cancel", "Cancel"), button("remove", "Remove", "danger"),
  ];
  const element = h("div", { class: "actions", role: "group", "aria-label": `What to do with ${name}` }, all);
  return {
    element,
    show(plan) {
      const fits = possible(plan);
      const focused = element.contains(document.activeElement) ? document.activeElement : null;
      for (const one of all) {
        const verb = one.dataset.verb;
        one.hidden = !fits.has(verb) || (few && verb === "retry" && !fits.has("start"));
        // Not `disabled`, which would take the focus away: `act` does nothing twice at once.
        setAttribute(one, "aria-disabled", pending.has(`${name} ${verb}`) || plan.busy === "removing" ? "true" : null);
      }
      // Where the focus was on what is no longer possible, it goes to what is; never to what removes.
      if (focused?.hidden) all.find((one) => !one.hidden && one.dataset.verb !== "remove")?.focus();
    },
  };
}

function possible(plan) {
  const fits = new Set(["remove"]);
  const going = plan.state === "running" || plan.state === "draining";
  const byWish = plan.state === "paused" && plan.resumes_at === null;
  if (going || plan.busy === "starting") fits.add("cancel");
  if (plan.state === "running") fits.add("pause");
  if (byWish) fits.add("resume");
  if (!going && !byWish && plan.busy === null) {
    fits.add("start");
    if (plan.schedule !== null || plan.resumes_at !== null) fits.add("pause");
    if (plan.resumes_at !== null) fits.add("cancel");
    if (plan.counts.failed > 0 && (plan.state === "failed" || plan.state === "complete")) fits.add("retry");
  }
  if (byWish && plan.run !== null && plan.last?.run !== plan.run) fits.add("cancel");
  return fits;
}

const pending = new Set();
const asked = new Set(); // Plans that were started on this page: what comes of them is said.
const DONE = { start: "started", pause: "paused", resume: "resumed", cancel: "cancelled", retry: "retries what failed", remove: "removed" };

/** Does something to a plan, and says what came of it. */
async function act(name, verb, options) {
  const key = `${name} ${verb}`;
  if (pending.has(key)) return false;
  if (verb === "remove" && !(await confirmed(
    `Remove ${name}?`, "Its run is stopped and its text is forgotten. What has landed stays in its store.", "Remove"))) {
    return false;
  }
  pending.add(key);
  asked.add(name);
  invalidate();
  try {
    if (verb === "remove") {
      const { store } = await call("DELETE", pathOf(name));
      say(`${name} is removed; its store stays: ${store}`);
      known.plans?.delete(name);
      known.lately.delete(name);
      known.drafts.delete(name);
      if (page?.plan === name) location.hash = "#/";
    } else {
      const plan = await call("POST", `${pathOf(name)}/${verb}`, options === undefined ? {} : { json: options });
      if (plan?.name === name) known.plans?.set(name, plan);
      // That a run has begun is an event, which says so itself.
      if (verb !== "start" && verb !== "retry") say(`${name}: ${DONE[verb]}`);
    }
    return true;
  } catch (error) {
    say(error.message, true);
    return false;
  } finally {
    pending.delete(key);
    invalidate();
    reload();
  }
}

async function actOnAll(verb) {
  if (verb === "cancel" && !(await confirmed("Cancel all runs?", "They can go on later; what has landed stays.", "Cancel all"))) {
    return;
  }
  try {
    const { outcomes } = await call("POST", `/api/v1/${verb}`);
    const refused = outcomes.filter((one) => one.problem !== null);
    const done = outcomes.length - refused.length;
    say(`${counted(done, "plan")} ${DONE[verb]}`);
    for (const one of refused.slice(0, 3)) say(`${one.name}: ${one.problem.detail ?? one.problem.title}`, true);
  } catch (error) {
    say(error.message, true);
  }
  reload();
}

function confirmed(question, consequence, verb) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "confirm", "aria-labelledby": "confirm-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "confirm-title" }, question), h("p", {}, consequence),
        h("div", { class: "actions end" },
          h("button", { value: "no", autofocus: true }, "Go back"),
          h("button", { value: "yes", class: "danger" }, verb))));
    showDialog(dialog, () => resolve(dialog.returnValue === "yes"));
  });
}

/** Shows a dialog over the page; where the focus was it is again afterwards. */
function showDialog(dialog, closed) {
  const focused = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (focused?.isConnected) focused.focus();
    closed?.();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Says something at the bottom of the page for a while; screen readers read it. */
function say(words, bad = false) {
  const place = document.getElementById("said");
  const last = place.lastElementChild;
  const close = h("button", { type: "button", class: "plain", "aria-label": "Close this message" }, "×");
  const message = h("p", { class: bad ? "bad" : null }, h("span", {}, words), close);
  if (last?.firstChild.textContent === message.firstChild.textContent) last.remove();
  close.addEventListener("click", () => message.remove());
  place.append(message);
  while (place.childElementCount > 3) place.firstElementChild.remove();
  setTimeout(() => message.remove(), bad ? 20_000 : 5_000);
}

function time(value, now, prefix = "") {
  return h("time", { datetime: value, title: value }, `${prefix}${clock(value, now)}`);
}

/** When a plan starts next, or why it does not: "in 3 min (14:20:00)". */
function whenNext(plan, now) {
  if (plan.resumes_at !== null && !runs(plan)) return `goes on ${relative(plan.resumes_at, now)} (${clock(plan.resumes_at, now)})`;
  if (plan.state === "paused" && plan.schedule !== null) return `${plan.schedule} · rests while paused`;
  if (plan.next_run !== null) return `${plan.schedule} · next ${relative(plan.next_run, now)} (${clock(plan.next_run, now)})`;
  if (plan.schedule !== null) return plan.schedule;
  if (plan.last !== null && !runs(plan)) return `ended ${relative(plan.last.at, now)}`;
  return "";
}

function problemText(error) {
  return h("p", { class: "problem", role: "alert" }, error.message);
}

function emptyState(title, words, ...more) {
  return h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, words), more);
}

// ----------------------------------------------------------------------------------------------- all plans

const SORTED = { running: 0, draining: 0, broken: 1, failed: 2, paused: 3, interrupted: 4 };

function plansPage() {
  const list = h("ul", { class: "plans", "aria-label": "Plans" });
  const filter = h("input", { type: "search", placeholder: "Filter by name, description, state", "aria-label": "Filter plans", on: { input: invalidate } });
  const sort = h("select", { "aria-label": "Order of the plans", on: { change: invalidate } },
    h("option", { value: "name" }, "by name"), h("option", { value: "state" }, "by state"));
  const tools = h("div", { class: "tools" }, filter, sort);
  const summary = h("p", { class: "quiet numbers" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const empty = emptyState("No plan yet",
    "A plan says what to fetch, how fast at most, and where it lands. Begin with the example: it runs on the built-in practice API, without a network.",
    h("div", { class: "actions" },
      h("a", { class: "button primary", href: "#/add/example" }, "Look at the example"),
      h("a", { class: "button", href: "#/add" }, "Write a plan")));
  const nothing = h("p", { class: "quiet" }, "No plan fits the filter.");
  const [graphs, limits, workers] = [charts(), gauges(), pool()];
  const startAll = h("button", { type: "button", on: { click: () => actOnAll("start") } }, "Start all");
  const cancelAll = h("button", { type: "button", on: { click: () => actOnAll("cancel") } }, "Cancel all");
  const side = h("aside", { "aria-label": "Activity" }, h("section", { class: "card" }, h("h2", {}, "All plans"), graphs.element), limits.element, workers.element);
  const element = h("div", { class: "overview" },
    h("div", { class: "heading" }, h("h1", {}, "Plans"), summary,
      h("div", { class: "actions end" }, startAll, cancelAll, h("a", { class: "button primary", href: "#/add" }, "Add a plan"))),
    problem, empty,
    h("div", { class: "columns" }, h("div", {}, tools, nothing, list), side));
  return {
    title: "Plans",
    element,
    poll: loadPool,
    paint() {
      setText(problem, known.problem);
      problem.hidden = known.problem === "";
      const plans = known.plans === null ? [] : [...known.plans.values()];
      empty.hidden = known.plans === null || plans.length > 0;
      tools.hidden = plans.length < 6;
      side.hidden = plans.length === 0;
      startAll.hidden = cancelAll.hidden = plans.length < 2;
      cancelAll.disabled = !plans.some(runs);
      const words = tools.hidden ? [] : filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = plans
        .filter((plan) => words.every((word) =>
          `${plan.name} ${plan.state} ${plan.busy ?? ""} ${plan.description ?? ""}`.toLowerCase().includes(word)))
        .sort((a, b) => (sort.value === "state" ? (SORTED[a.state] ?? 5) - (SORTED[b.state] ?? 5) : 0) || (a.name < b.name ? -1 : 1));
      nothing.hidden = found.length > 0 || plans.length === 0;
      const going = plans.filter(runs).length;
      setText(summary, plans.length === 0 ? "" : `${number(plans.length)} in all, ${number(going)} running`);
      const now = Date.now();
      keyed(list, found, (plan) => plan.name, planRow, (row, plan) => row.show(plan, now));
      graphs.show("");
      limits.show(known.budgets, inSeconds() - known.budgetsAt);
      workers.show(known.workers);
    },
  };
}

function planRow({ name }) {
  const badge = stateBadge();
  const progress = bar(`Progress of ${name}`);
  const buttons = actions(name, { few: true });
  const description = h("p", { class: "description quiet" });
  const numbers = h("p", { class: "numbers" });
  const next = h("p", { class: "quiet numbers" });
  const problem = h("p", { class: "problem" });
  const element = h("li", { "data-plan": name },
    h("div", { class: "what" }, h("a", { class: "name", href: pageOf(name) }, name), badge.element),
    description,
    h("div", { class: "how" }, progress.element, numbers),
    h("div", { class: "when" }, next, problem),
    buttons.element);
  element.show = (plan, now) => {
    badge.show(plan.state, plan.busy);
    setText(description, plan.description);
    description.hidden = plan.description === null;
    const { counts } = plan;
    const going = runs(plan);
    progress.element.hidden = plan.run === null || counts.known === 0;
    progress.show(counts, going && grows(plan.name, counts.known), !going);
    const speed = meter(name).rates(inSeconds());
    setText(numbers, plan.run === null ? "never run"
      : [counted(counts.records, "record"), `${going ? `${number(counts.done)} of ` : ""}${counted(going ? counts.known : counts.done, "request")}`,
         going ? `${rate(speed.requests)}/s` : null, counts.failed ? `${number(counts.failed)} failed` : null]
        .filter(Boolean).join(" · "));
    setText(next, whenNext(plan, now));
    const reason = plan.problem ?? (going ? null : plan.last?.reason ?? null);
    setText(problem, reason);
    setAttribute(problem, "class", plan.state === "paused" ? "problem mild" : "problem");
    problem.hidden = reason === null;
    buttons.show(plan);
  };
  return element;
}

const growth = new Map();

/** Whether the number of known requests has grown in the last seconds: then it is a lower bound. */
function grows(key, count) {
  const before = growth.get(key) ?? { count, at: -Infinity };
  growth.set(key, { count, at: before.count > 0 && count > before.count ? inSeconds() : before.at });
  return inSeconds() - growth.get(key).at < 4;
}

// ------------------------------------------------------------------------------------------------ one plan

const TABS = [["run", "Run"], ["failures", "Failures"], ["rows", "Rows"], ["runs", "History"], ["text", "Text"]];

function planPage(name, tab = "run", more = null) {
  const badge = stateBadge();
  const buttons = actions(name);
  const description = h("p", { class: "quiet" });
  const next = h("p", { class: "quiet numbers" });
  const problem = h("p", { class: "problem" });
  const missing = h("div", { hidden: true }, emptyState(`There is no plan ${name}`, "It may have been removed.",
    h("a", { class: "button", href: "#/" }, "All plans")));
  const failures = h("span", { class: "count" });
  const tabs = h("nav", { class: "tabs", "aria-label": `Views of ${name}` },
    TABS.map(([id, words]) => h("a", { href: id === "run" ? pageOf(name) : pageOf(name, id), "aria-current": id === tab ? "page" : null },
      words, id === "failures" ? failures : null)));
  const makers = { run: runTab, failures: failuresTab, rows: rowsTab, runs: historyTab, text: textTab };
  const options = startOptions(name);
  const body = (makers[tab] ?? runTab)(name, more);
  const there = h("div", {},
    h("div", { class: "heading plan" },
      h("div", { class: "what" }, h("h1", {}, h("bdi", {}, name)), badge.element), buttons.element),
    description, next, problem, options.element, tabs, body.element);
  return {
    ...body,
    plan: name,
    title: name,
    element: h("div", { class: "plan-page" }, h("a", { class: "back", href: "#/" }, "All plans"), missing, there),
    paint() {
      const plan = known.plans?.get(name);
      there.hidden = !plan;
      missing.hidden = known.plans === null || Boolean(plan);
      if (!plan) return;
      const now = Date.now();
      badge.show(plan.state, plan.busy);
      buttons.show(plan);
      options.show(plan);
      setText(description, plan.description);
      description.hidden = plan.description === null;
      setText(next, whenNext(plan, now));
      next.hidden = next.textContent === "";
      const reason = plan.problem ?? (runs(plan) ? null : plan.last?.reason ?? null);
      setText(problem, reason);
      setAttribute(problem, "class", plan.state === "paused" ? "problem mild" : "problem");
      problem.hidden = reason === null;
      setText(failures, plan.counts.failed ? number(plan.counts.failed) : "");
      failures.hidden = plan.counts.failed === 0;
      body.paint?.(plan, now);
    },
  };
}

/** How a run is to begin, for those who want to say. */
function startOptions(name) {
  const fresh = h("input", { type: "checkbox", id: "start-fresh" });
  const full = h("input", { type: "checkbox", id: "start-full" });
  const tasks = h("div", { class: "choices" });
  const element = h("details", { class: "options" }, h("summary", {}, "Start with options"),
    h("form", { on: { submit: start } },
      h("label", {}, fresh, " Begin anew: undo the unfinished run"),
      h("label", {}, full, " Full refresh: ignore cursors, ask for everything again"),
      h("fieldset", {}, h("legend", {}, "Only these tasks, and those they come from (none: all)"), tasks),
      h("button", { class: "primary" }, "Start with these options")));
  async function start(event) {
    event.preventDefault();
    const only = [...tasks.querySelectorAll("input:checked")].map((box) => box.value);
    const begun = await act(name, "start", { tasks: only, unfinished: fresh.checked ? "fresh" : "resume", full_refresh: full.checked });
    if (begun) element.open = false;
  }
  element.addEventListener("toggle", async () => {
    if (!element.open || tasks.childElementCount > 0) return;
    try {
      const detail = await call("GET", pathOf(name));
      keyed(tasks, detail.tasks, (task) => task.name, (task) => {
        const box = h("input", { type: "checkbox" });
        box.value = task.name;
        return h("label", {}, box, " ", task.name);
      });
    } catch (error) {
      say(error.message, true);
    }
  });
  return {
    element,
    show(plan) {
      element.hidden = !possible(plan).has("start");
    },
  };
}

// The run: tasks, charts, limits, workers.

/** `ask`, but not while it is being asked; and why it failed the last time. */
function loading(ask) {
  const loader = {
    problem: null,
    busy: false,
    async load(...how) {
      if (loader.busy) return;
      loader.busy = true;
      try {
        await ask(...how);
        loader.problem = null;
      } catch (error) {
        loader.problem = error;
      } finally {
        loader.busy = false;
      }
      invalidate();
    },
  };
  return loader;
}

function runTab(name) {
  let detail = null;
  let detailAt = 0;
  const speeds = new Map();
  const tiles = ["requests/s", "rows/s", "requests", "records", "received", "time", "left"].map((label) => {
    const value = h("dd");
    return { label, value, element: h("div", {}, h("dt", {}, label), value) };
  });
  const tile = Object.fromEntries(tiles.map((one) => [one.label, one.value]));
  const [graphs, limits, workers] = [charts(), gauges(), pool()];
  const list = h("ol", { class: "tasks" });
  const lately = h("ol", { class: "lately" });
  const latelyCard = h("section", { class: "card" }, h("h2", {}, "Lately"), lately);
  const trouble = h("p", { class: "problem", role: "alert", hidden: true });
  const element = h("div", { class: "run" }, h("dl", { class: "tiles" }, tiles.map((one) => one.element)), trouble,
    h("div", { class: "columns" },
      h("div", {}, h("section", { class: "card" }, h("h2", {}, "Tasks"), list), latelyCard),
      h("aside", { "aria-label": "Activity" }, h("section", { class: "card" }, h("h2", {}, "Pace"), graphs.element), limits.element, workers.element)));

  const loader = loading(async () => {
    detail = await call("GET", pathOf(name));
    detailAt = inSeconds();
    for (const task of detail.tasks) speed(speeds, task, detailAt);
    known.plans?.set(name, detail.plan);
  });
  const { load } = loader;
  return {
    element,
    load,
    changed: load,
    async poll() {
      const plan = known.plans?.get(name);
      await Promise.all([loadPool(), plan && runs(plan) ? load() : null]);
    },
    paint(plan, now) {
      trouble.hidden = loader.problem === null;
      setText(trouble, loader.problem?.message);
      const going = runs(plan);
      const since = inSeconds() - detailAt;
      const current = meter(name).rates(inSeconds());
      const { counts } = plan;
      setText(tile["requests/s"], going ? rate(current.requests) : "–");
      setText(tile["rows/s"], going ? rate(current.records) : "–");
      setText(tile.requests, number(counts.requests));
      setText(tile.records, number(counts.records));
      setText(tile.received, bytes(counts.bytes));
      const report = detail?.report;
      setText(tile.time, going && plan.started !== null ? duration((now - Date.parse(plan.started)) / 1000)
        : report ? duration(report.seconds) : "–");
      const tasks = detail?.tasks ?? [];
      const open = openTasks(tasks, speeds);
      setText(tile.left, going ? timeLeft(tasks, speeds, open.size > 0) : "–");
      // Of very many only the list scrolls: what is beside and below it stays within reach.
      setAttribute(list, "class", tasks.length > 40 ? "tasks many" : "tasks");
      keyed(list, tasks, (task) => task.name, (task) => taskRow(name, task),
        (row, task) => row.show(task, speeds.get(task.name), open.has(task.name), going, since, plan.run !== null, detail?.limits ?? []));
      graphs.show(name);
      limits.show(going ? detail?.limits ?? [] : [], since);
      workers.show(known.workers.map((worker) => mine(worker, name)));
      const told = known.lately.get(name) ?? [];
      latelyCard.hidden = told.length === 0;
      keyed(lately, told, (one) => `${one.at} ${one.words}`, (one) =>
        h("li", { class: one.bad ? "bad" : null }, time(new Date(one.at).toISOString(), now), " ", h("span", {}, one.words)));
    },
  };
}

/** A worker as a plan's page shows it: what it does for others is only that it is busy. */
function mine(worker, name) {
  if (worker.doing === null) return worker;
  return worker.doing.startsWith(`${name}/`) ? { ...worker, doing: worker.doing.slice(name.length + 1) }
    : { ...worker, state: "elsewhere", doing: "other plans" };
}

function speed(speeds, task, at) {
  const known = speeds.get(task.name) ?? { samples: [], grewAt: -Infinity };
  const last = known.samples.at(-1);
  if (last && last.known > 0 && task.known > last.known && task.done >= last.done) known.grewAt = at;
  if (last && task.done < last.done) known.samples = [];
  known.samples.push({ at, done: task.done, records: task.records, known: task.known });
  while (known.samples.length > 2 && known.samples[0].at < at - 10) known.samples.shift();
  const first = known.samples[0];
  const seconds = at - first.at;
  known.requests = seconds > 0.5 ? (task.done - first.done) / seconds : 0;
  known.records = seconds > 0.5 ? (task.records - first.records) / seconds : 0;
  speeds.set(task.name, known);
}

/** Tasks of which more requests may come to be known: their parent still runs, or they have just grown. */
function openTasks(tasks, speeds) {
  const byName = new Map(tasks.map((task) => [task.name, task]));
  const now = inSeconds();
  return new Set(tasks
    .filter((task) => task.in_run && !task.ended
      && ((task.parent !== null && byName.get(task.parent)?.ended === false) || now - (speeds.get(task.name)?.grewAt ?? -Infinity) < 4))
    .map((task) => task.name));
}

function timeLeft(tasks, speeds, isLeast) {
  let longest = 0;
  let least = isLeast;
  for (const task of tasks) {
    if (!task.in_run || task.ended) continue;
    const left = task.known - task.done;
    const pace = speeds.get(task.name)?.requests ?? 0;
    if (left > 0 && pace > 0) longest = Math.max(longest, left / pace);
    else least = true;
  }
  if (longest === 0) return "–";
  return least ? `≥ ${duration(longest)}` : duration(longest);
}

const LANDS = {
  append: "adds rows", merge: "adds and updates rows", replace: "replaces all rows", mirror: "keeps the rows as the server has them",
};

function taskRow(plan, { name, table, line }) {
  const progress = bar(`Progress of task ${name}`);
  const [share, pace, wait] = [h("span"), h("span"), h("span", { class: "wait" })];
  const failed = h("a", { class: "failed", href: pageOf(plan, "failures") });
  const element = h("li", { "data-task": name },
    h("div", { class: "what" },
      h("a", { class: "name", href: pageOf(plan, "text", line), title: `line ${line} of the plan` }, name),
      h("a", { class: "table quiet", href: pageOf(plan, "rows", table) }, `→ ${table}`)),
    progress.element,
    h("div", { class: "row numbers" }, share, failed, pace), wait);
  element.show = (task, speed, open, going, since, ran, own) => {
    const live = going && task.in_run && !task.ended;
    progress.show(task, live && open, !live);
    progress.element.hidden = !task.in_run;
    setAttribute(element, "class", !task.in_run ? (ran ? "out" : null) : task.ended || !going ? "ended" : null);
    const skipped = task.skipped ? ` (${number(task.skipped)} skipped)` : "";
    setText(share, !task.in_run ? (ran ? "not part of this run" : `has not run yet; ${LANDS[task.mode] ?? task.mode}`)
      : `${live ? `${number(task.done)} of ${open ? "≥ " : ""}` : ""}${counted(live ? task.known : task.done, "request")}${skipped} · ${counted(task.records, "record")}`);
    failed.hidden = task.failed === 0;
    setText(failed, `${number(task.failed)} failed`);
    const left = task.known - task.done;
    const eta = live && speed?.requests > 0 && left > 0 ? ` · ${open ? "≥ " : ""}${duration(left / speed.requests)} left` : "";
    setText(pace, live && speed && (speed.requests > 0 || speed.records > 0)
      ? `${rate(speed.requests)} requests/s · ${rate(speed.records)} rows/s${eta}` : "");
    const why = live ? waiting(task.waits_for, since, own) : "";
    setText(wait, why);
    wait.hidden = why === "";
  };
  return element;
}

/** Why nothing of a task is sent, in words: "waits for 5000/h: 12 s". */
function waiting(reason, since, own) {
  if (!reason) return "";
  const left = reason.seconds === null ? null : Math.max(0, reason.seconds - since);
  const rest = left === null ? "" : left < 0.1 ? ": a moment" : `: ${duration(left)}`;
  switch (reason.reason) {
    case "limit": return `waits for ${reason.limit} of ${reason.endpoint}${
      own.some((limit) => limit.limit === reason.limit && limit.endpoint === reason.endpoint) ? "" : ", which another plan names"}${rest || ": until an answer comes"}`;
    case "server": return `waits: the server of ${reason.endpoint} asked for it${rest}`;
    case "concurrency": return `waits for a free place at ${reason.endpoint}`;
    case "back_off": return `waits to try again${rest}`;
    case "parent": return `waits for records of ${reason.task}`;
    case "store": return "waits while rows are written";
    default: return "waits";
  }
}

// What failed.

function failuresTab(name, chosen) {
  let requests = null;
  let next = null;
  let run = chosen === null ? null : Number(chosen);
  let problem = null;
  let loading = false;
  const heading = h("p", { class: "quiet numbers" });
  const retry = h("button", { type: "button", class: "primary", on: { click: () => act(name, "retry") } }, "Retry what failed");
  const why = h("span", { class: "quiet" });
  const list = h("ol", { class: "failures" });
  const none = h("div");
  const more = h("button", { type: "button", on: { click: () => load(true) } }, "Load more");
  const trouble = h("div");
  const element = h("section", {}, h("div", { class: "row" }, heading, h("div", { class: "actions end" }, why, retry)),
    trouble, none, list, more);

  async function load(onward = false) {
    const of = run ?? known.plans?.get(name)?.run ?? null;
    if (loading || of === null) return;
    loading = true;
    more.disabled = true;
    try {
      const after = onward && next !== null ? `&after=${next}` : "";
      let answer = await call("GET", `${pathOf(name)}/runs/${of}/tasks?state=failed&limit=50${after}`);
      const found = answer.requests;
      // Pages may be short, or empty, where failures are few among many requests.
      while (found.length < 50 && answer.next !== null) {
        answer = await call("GET", `${pathOf(name)}/runs/${of}/tasks?state=failed&limit=50&after=${answer.next}`);
        found.push(...answer.requests);
      }
      requests = onward ? [...requests, ...found] : found;
      next = answer.next;
      problem = null;
    } catch (error) {
      problem = error.status === 404 ? null : error;
      requests ??= [];
    } finally {
      loading = false;
      more.disabled = false;
    }
    invalidate();
  }
  return {
    element,
    load,
    heard(event, data, plan) {
      // Many may fail at once: what is shown is asked for again when the run has ended, or by its button.
      if (plan === name && (event === "run_ended" || (event === "failed" && (requests?.length ?? 0) < 20))) soon(load);
    },
    paint(plan) {
      const latest = run === null || run === plan.run;
      setText(heading, plan.run === null ? "" : `Run ${run ?? plan.run}`);
      trouble.replaceChildren(...(problem ? [problemText(problem)] : []));
      const empty = requests !== null && requests.length === 0 && problem === null;
      setEmpty(none, empty || plan.run === null, () => plan.run === null
        ? emptyState("Nothing has run yet", "Start the plan; requests that fail for good show here.")
        : emptyState("No request failed", runs(plan) ? "What fails for good while the run goes on shows here." : "Everything the run asked for was answered well."));
      keyed(list, requests ?? [], (request) => request.id, (request) => failureCard(name, request));
      more.hidden = next === null;
      const going = runs(plan);
      retry.hidden = (requests?.length ?? 0) === 0 || !latest;
      retry.disabled = going || pending.has(`${name} retry`);
      setText(why, !retry.hidden && going ? "once the run has ended" : "");
    },
  };
}

function setEmpty(place, isEmpty, make) {
  if (!isEmpty) place.replaceChildren();
  else if (place.childElementCount === 0) place.append(make());
}

function failureCard(plan, request) {
  const failure = request.failure ?? { kind: "failed", message: "", help: null, request: null, status: null, body: null, line: null, plan_line: null };
  const bindings = Object.entries(request.bindings ?? {}).map(([key, value]) => `${key} = ${compact(value)}`).join(", ");
  const facts = [bindings, request.page > 1 ? `page ${request.page}` : "", request.attempt > 1 ? `attempt ${request.attempt}` : "",
    request.took_seconds !== null ? `took ${duration(request.took_seconds)}` : "", request.sent !== null ? `sent ${clock(request.sent, Date.now())}` : ""];
  return h("li", { class: "card failure", "data-request": request.id },
    h("h3", {}, h("bdi", {}, request.task), " ",
      h("span", { class: "kind" }, failure.status ? `${failure.status} · ${failure.kind}` : failure.kind)),
    h("p", { class: "message" }, failure.message),
    failure.help ? h("p", { class: "help" }, failure.help) : null,
    failure.request ? h("pre", { class: "code request" }, failure.request) : null,
    failure.body ? h("figure", {}, h("figcaption", { class: "quiet" }, "The answer begins"), h("pre", { class: "code body" }, failure.body)) : null,
    failure.line !== null
      ? h("figure", {}, h("figcaption", { class: "quiet" }, h("a", { href: pageOf(plan, "text", failure.line) }, `Line ${failure.line} of the plan`)),
          h("pre", { class: "code" }, failure.plan_line ?? ""))
      : null,
    h("p", { class: "quiet numbers" }, facts.filter(Boolean).join(" · ")));
}

// What landed.

function rowsTab(name, chosen) {
  let tables = null;
  let table = chosen;
  let content = null;
  let onFirst = true;
  const picker = h("select", { id: "table", on: { change: () => pick(picker.value) } });
  const head = h("tr");
  const body = h("tbody");
  const grid = h("div", { class: "scroll", role: "region", "aria-label": "Rows", tabindex: "0" },
    h("table", { class: "rows" }, h("thead", {}, head), body));
  const summary = h("span", { class: "quiet numbers" });
  const trouble = h("div");
  const none = h("div");
  const refresh = h("button", { type: "button", on: { click: () => load() } }, "Refresh");
  const more = h("button", { type: "button", on: { click: () => load(true) } }, "Load older");
  const controls = h("div", { class: "row" }, h("label", { for: "table" }, "Table "), picker, summary, h("div", { class: "actions end" }, refresh));
  const element = h("section", {}, controls, trouble, none, grid, more);

  function pick(next) {
    table = next;
    content = null;
    body.keyedRows = undefined;
    body.replaceChildren();
    history.replaceState(null, "", pageOf(name, "rows", table));
    load();
  }

  const loader = loading(async (onward = false) => {
    if (!onward || tables === null) {
      const answer = await call("GET", `${pathOf(name)}/tables`);
      tables = answer.tables;
      if (!tables.some((one) => one.name === table)) table = tables[0]?.name ?? null;
    }
    if (table !== null) {
      const before = onward && content?.next ? `&before=${content.next}` : "";
      const of = table;
      const answer = await call("GET", `${pathOf(name)}/rows?table=${encodeURIComponent(of)}&limit=50${before}`);
      if (of === table) {
        content = onward && content ? { ...answer, rows: [...content.rows, ...answer.rows] } : answer;
        onFirst = !onward;
      }
    }
  });
  const { load } = loader;
  return {
    element,
    load,
    heard(event, data, plan) {
      if (plan === name && event === "run_ended") soon(load);
    },
    async poll() {
      const plan = known.plans?.get(name);
      if (plan && runs(plan) && onFirst) await load();
    },
    paint(plan) {
      trouble.replaceChildren(...(loader.problem ? [problemText(loader.problem)] : []));
      const empty = loader.problem === null && tables !== null && (table === null || (content !== null && content.rows.length === 0));
      setEmpty(none, empty, () => emptyState("No rows yet",
        plan.run === null ? "Start the plan; the newest rows that land show here." : "Nothing has landed in this table so far."));
      controls.hidden = (tables?.length ?? 0) === 0;
      keyed(picker, tables ?? [], (one) => one.name, (one) => {
        const option = h("option", {}, one.name);
        option.value = one.name;
        return option;
      });
      if (table !== null && picker.value !== table) picker.value = table;
      const rows = content?.rows ?? [];
      grid.hidden = rows.length === 0;
      more.hidden = !content?.next;
      setText(summary, rows.length ? `newest ${number(rows.length)}` : "");
      const columns = content?.columns ?? [];
      if (head.shownColumns !== JSON.stringify([table, columns])) {
        head.shownColumns = JSON.stringify([table, columns]);
        head.replaceChildren(h("th", { scope: "col" }, h("span", { class: "unseen" }, "Whole row")),
          ...columns.map((column) => h("th", { scope: "col" }, columnName(column))));
        body.keyedRows = undefined;
        body.replaceChildren();
      }
      keyed(body, rows, (row) => `${row.row} ${JSON.stringify(row.values)}`, (row) => dataRow(row, columns));
    },
  };
}

const columnName = (column) => (typeof column === "string" ? column : column.name);

function dataRow(row, columns) {
  const open = h("button", { type: "button", class: "plain", "aria-label": `Row ${row.row}, all of it`,
    on: { click: () => wholeRow(row, columns) } }, String(row.row));
  return h("tr", {}, h("td", { class: "number" }, open), row.values.map((value) => {
    const text = compact(value);
    const short = text.length > 60 ? `${[...text].slice(0, 56).join("")}…` : text;
    return h("td", { class: value === null ? "null" : typeof value === "number" ? "number" : null, title: text.length > 60 ? "cut: open the row to see all" : null }, short);
  }));
}

function wholeRow(row, columns) {
  const dialog = h("dialog", { class: "whole", "aria-labelledby": "whole-title" },
    h("form", { method: "dialog" },
      h("h2", { id: "whole-title" }, `Row ${row.row}`),
      row.truncated ? h("p", { class: "quiet" }, "Texts longer than 4 KiB were cut.") : null,
      h("dl", {}, columns.map((column, at) => [h("dt", {}, columnName(column)), h("dd", {}, h("pre", { class: "code" }, compact(row.values[at], 2)))])),
      h("div", { class: "actions end" }, h("button", { autofocus: true }, "Close"))));
  showDialog(dialog);
}

/** A value as text; JSON that lands as text is shown compactly, or with an indent. */
function compact(value, indent = 0) {
  if (value === null) return "null";
  if (typeof value === "object") return JSON.stringify(value, null, indent);
  if (typeof value === "string" && /^[[{]/.test(value) && value.length < 5000) {
    try {
      return JSON.stringify(JSON.parse(value), null, indent);
    } catch {
      // A text that only begins like JSON.
    }
  }
  return String(value);
}

// Earlier runs.

function historyTab(name) {
  let list = null;
  let next = null;
  const body = h("ol", { class: "runs" });
  const trouble = h("div");
  const none = h("div");
  const more = h("button", { type: "button", on: { click: () => load(true) } }, "Load older");
  const loader = loading(async (onward = false) => {
    const before = onward && next !== null ? `&before=${next}` : "";
    const answer = await call("GET", `${pathOf(name)}/runs?limit=20${before}`);
    list = onward ? [...list, ...answer.runs] : answer.runs;
    next = answer.next;
  });
  const { load } = loader;
  return {
    element: h("section", {}, trouble, none, body, more),
    load,
    heard(event, data, plan) {
      if (plan === name && event.startsWith("run_")) soon(load);
    },
    paint(plan, now) {
      trouble.replaceChildren(...(loader.problem ? [problemText(loader.problem)] : []));
      setEmpty(none, list !== null && list.length === 0, () => emptyState("No run yet", "Start the plan; each of its runs is kept here."));
      more.hidden = next === null;
      keyed(body, list ?? [], (run) => `${run.run} ${run.state} ${run.ended}`, (run) => runCard(name, run, now));
    },
  };
}

function runCard(plan, run, now) {
  const badge = stateBadge();
  badge.show(run.state);
  const sum = (field) => run.tasks.reduce((total, task) => total + task[field], 0);
  const failed = sum("failed");
  const took = run.ended === null ? "" : ` · took ${duration((Date.parse(run.ended) - Date.parse(run.started)) / 1000)}`;
  return h("li", { class: "card" },
    h("div", { class: "row" }, h("h3", {}, `Run ${run.run}`), badge.element,
      failed ? h("a", { class: "failed", href: pageOf(plan, "failures", run.run) }, `${number(failed)} failed`) : null),
    h("p", { class: "quiet numbers" }, "began ", time(run.started, now), took),
    h("p", { class: "numbers" }, `${counted(sum("done"), "request")} · ${counted(sum("records"), "record")}`),
    h("details", {}, h("summary", {}, counted(run.tasks.length, "task")),
      h("ul", { class: "plain" }, run.tasks.map((task) => h("li", { class: "row numbers" }, h("bdi", { class: "name" }, task.task),
        h("span", {}, `${counted(task.done, "request")} · ${counted(task.records, "record")}${task.failed ? ` · ${number(task.failed)} failed` : ""}${task.ended ? "" : " · not ended"}`))))));
}

// The text, and a new one.

const asDiagnostics = (error) => error.problem?.diagnostics?.length ? error.problem.diagnostics
  : [{ severity: "error", code: "", message: error.message, label: null, help: null, line: null, column: null, also: null }];

/** What a dry run says: of a text that is refused why, of one that is not what its author should know. */
async function tried(ask, words) {
  try {
    const answer = await ask();
    return { diagnostics: answer.warnings, note: words(answer) };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { diagnostics: asDiagnostics(error), note: "" };
  }
}

function changesIn(answer) {
  if (answer.changes.length === 0) return "Nothing would change.";
  const over = answer.starts_over.length ? ` Starts over: ${answer.starts_over.join(", ")}.` : "";
  return `Changes: ${answer.changes.join(", ")}.${over}`;
}

function textTab(name, line) {
  let held = null;
  let detail = null;
  const trouble = h("div");
  const result = h("p", { class: "note", role: "status" });
  const put = h("button", { type: "button", class: "primary", disabled: true, on: { click: replace } }, "Replace the plan");
  const discard = h("button", { type: "button", disabled: true, on: { click: back } }, "Discard changes");
  const edit = editor({
    label: `The text of plan ${name}, TOML`,
    check: (text, signal) => text === held
      ? { diagnostics: detail.diagnostics, note: "" }
      : tried(() => call("PUT", `${pathOf(name)}?dry_run=true`, { toml: text, signal }), changesIn),
    typed,
  });
  function typed(text) {
    const differs = text !== held;
    put.disabled = discard.disabled = !differs;
    if (differs) known.drafts.set(name, text);
    else known.drafts.delete(name);
  }
  function back() {
    edit.set(held);
    typed(held);
    edit.show(detail.diagnostics);
    edit.focus();
  }
  async function replace() {
    put.disabled = true;
    try {
      const answer = await call("PUT", pathOf(name), { toml: edit.text() });
      setText(result, answer.changes.length === 0 ? "Replaced; nothing that matters changed."
        : `Replaced: ${answer.changes.join(", ")}.${answer.starts_over.length ? ` Starts over: ${answer.starts_over.join(", ")}.` : ""}`);
      known.drafts.delete(name);
      await load();
    } catch (error) {
      put.disabled = false;
      if (error.problem?.diagnostics) edit.show(error.problem.diagnostics);
      else say(error.message, true);
    }
    reload();
  }
  async function load() {
    try {
      detail = await call("GET", pathOf(name));
      trouble.replaceChildren();
      // A textarea has its own idea of line ends.
      held = detail.text.replaceAll("\r\n", "\n");
      const draft = known.drafts.get(name);
      edit.set(draft ?? held);
      typed(draft ?? held);
      if (draft === undefined) edit.show(detail.diagnostics);
      else edit.checkNow();
      if (line !== null) {
        edit.jump(Number(line));
        line = null;
      }
    } catch (error) {
      trouble.replaceChildren(problemText(error));
    }
  }
  return {
    element: h("section", { class: "text" }, trouble, edit.element, result,
      h("div", { class: "actions" }, put, discard, h("span", { class: "quiet" }, "Secrets written into a plan read ***; leave them so, and they stay."))),
    load,
    close: edit.close,
  };
}

const EXAMPLE = `# An example on the built-in practice API: nothing leaves this machine.

[plan]
name        = "example"
description = "Instruments and their daily bars, from the practice API"

[store]
sqlite = "example.db"                  # tables and ledger in one file

[endpoints.market]
base_url = "sandbox://market?records=5000&limit=50/s&window=sliding&slow=20ms..80ms"
limits   = ["50/s"]

# One request, one table.
[tasks.instruments]
endpoint = "market"
get      = "/instruments"
key      = ["id"]

# Repeated over every record that instruments lands.
[tasks.bars]
endpoint = "market"
get      = "/bars/{{ instrument.symbol }}"
foreach  = { instrument = { task = "instruments", where = ".active" } }
key      = ["symbol", "date"]

# Repeated over a list and over weeks.
[tasks.candles]
endpoint = "market"
get      = "/candles"
query    = { symbol = "{{ symbol }}", startTime = "{{ week.start | epoch_ms }}", endTime = "{{ week.end | epoch_ms - 1 }}", limit = 1000 }
foreach  = { symbol = ["000001.SZ", "000002.SH", "000003.SZ"], week = { every = "7d", from = "2023-01-01", to = "2025-01-01" } }
map      = "{open_time: .[0], open: .[1], high: .[2], low: .[3], close: .[4], volume: .[5]}"
fields   = { symbol = "{{ symbol }}" }
key      = ["symbol", "open_time"]
`;

function addPage(what) {
  const add = h("button", { type: "button", class: "primary", on: { click: send } }, "Add the plan");
  const example = h("button", { type: "button", on: { click: () => fill(EXAMPLE) } }, "Insert the example");
  const start = h("input", { type: "checkbox", id: "start-after" });
  const edit = editor({
    label: "The text of the new plan, TOML",
    check: (text, signal) => tried(
      () => call("POST", `${PLANS}?dry_run=true`, { toml: text, signal }),
      (plan) => `${plan.name}: ${counted(plan.tasks.length, "task")}${plan.schedule ? `, ${plan.schedule}` : ""}. Tables: ${[...new Set(plan.tasks.map((task) => task.table))].join(", ")}.`),
    typed,
  });
  function typed(text) {
    add.disabled = text.trim() === "";
    example.hidden = text.trim() !== "" && text !== EXAMPLE;
    if (text.trim() === "" || text === EXAMPLE) known.drafts.delete("");
    else known.drafts.set("", text);
  }
  function fill(text) {
    edit.set(text);
    typed(text);
    edit.checkNow();
    edit.focus();
  }
  async function send() {
    add.disabled = true;
    try {
      const { plan } = await call("POST", PLANS, { toml: edit.text() });
      known.drafts.delete("");
      say(`${plan.name} is added`);
      await reload();
      if (start.checked) act(plan.name, "start");
      location.hash = pageOf(plan.name);
    } catch (error) {
      add.disabled = false;
      if (error.problem?.diagnostics) edit.show(error.problem.diagnostics);
      else say(error.message, true);
    }
  }
  return {
    title: "Add a plan",
    element: h("div", { class: "add" }, h("a", { class: "back", href: "#/" }, "All plans"), h("h1", {}, "Add a plan"),
      h("p", { class: "quiet" }, "Its text is checked as you type. A plan that is added here may read no environment variables, files or commands, and reach no private address, unless this server's owner allowed it."),
      edit.element,
      h("div", { class: "actions" }, add, h("label", { for: "start-after" }, start, " and start it"), example)),
    load() {
      const text = what === "example" ? EXAMPLE : known.drafts.get("") ?? "";
      edit.set(text);
      typed(text);
      edit.checkNow();
      if (what === "example") add.focus();
      else edit.focus();
    },
    close: edit.close,
  };
}

// ------------------------------------------------------------------------------------------ what ties it together

let page = null;

/** Shows the page that the address names. */
function route() {
  if (location.hash !== "" && !location.hash.startsWith("#/")) return;
  const parts = location.hash.slice(2).split("/").map(decoded).filter((part) => part !== "");
  page?.close?.();
  for (const dialog of document.querySelectorAll("dialog:not(#sign-in)")) dialog.close();
  page = parts[0] === "plans" && parts[1] ? planPage(parts[1], parts[2], parts[3] ?? null)
    : parts[0] === "add" ? addPage(parts[1])
    : plansPage();
  document.title = page.title === "Plans" ? "SyncEngine" : `${shown(page.title)} · SyncEngine`;
  setAttribute(document.getElementById("nav-plans"), "aria-current", page.title === "Plans" ? "page" : null);
  const main = document.getElementById("main");
  main.replaceChildren(page.element);
  if (focusPage) main.focus({ preventScroll: true });
  focusPage = true;
  scrollTo(0, 0);
  page.load?.();
  paint();
  pollNow();
}

let focusPage = false;

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

let painted = 0;
let painting = null;

/** The page is painted soon, and at most four times a second. */
function invalidate() {
  painting ??= setTimeout(() => {
    painting = null;
    requestAnimationFrame(paint);
  }, Math.max(0, painted + REPAINT - performance.now()));
}

function paint() {
  painted = performance.now();
  setText(document.getElementById("link"), known.heard ? "live" : "not connected");
  setAttribute(document.getElementById("link"), "class", known.heard ? "link on" : "link off");
  page?.paint?.();
}

const waitingFor = new Map();

/** Calls a loader once, in a moment. */
function soon(load) {
  if (waitingFor.has(load)) return;
  waitingFor.set(load, setTimeout(() => {
    waitingFor.delete(load);
    load();
  }, 500));
}

let pollTimer = null;

function pollNow() {
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, 0);
}

/** What events do not tell is asked for: each second while a plan runs and somebody looks. */
async function poll() {
  clearTimeout(pollTimer);
  if (!document.hidden && hasToken()) {
    try {
      await page?.poll?.();
    } catch {
      // Said by the stream of events: it is not connected.
    }
    invalidate();
  }
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, document.hidden ? 5000 : anyRuns() ? 1000 : 3000);
}

async function begin() {
  takeTokenFromAddress();
  const skip = document.getElementById("skip");
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  addEventListener("hashchange", () => {
    takeTokenFromAddress();
    route();
  });
  addEventListener("beforeunload", (event) => {
    if (known.drafts.size > 0) event.preventDefault();
  });
  document.addEventListener("visibilitychange", pollNow);
  document.querySelector("header.top").append(h("button", {
    type: "button", class: "plain", on: { click: () => { forgetToken(); location.reload(); } },
  }, "Sign out"));
  if (!hasToken()) await signIn();
  await reload();
  route();
  follow(onEvent, (heard) => {
    known.heard = heard;
    invalidate();
  });
  setInterval(invalidate, 1000); //    Clocks and countdowns.
  setInterval(reload, 20_000); //      Should an event ever be lost.
}

begin();
