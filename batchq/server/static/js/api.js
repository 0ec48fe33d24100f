/** Calls of the server: what it answers, what is wrong with a call, or that nobody is there. */

const ROOT = "/api/v1";
const BACK = "batchq.back";
const PATIENCE_MS = 30_000;

/** For what takes as long as there are items, millions perhaps. */
export const LONG_MS = 3_600_000;

/** What the server says is wrong with a call (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `the server answered ${status}`);
    this.status = status;
    this.hint = body.hint ?? "";
    this.kind = body.error ?? "";
    this.body = body;
  }

  /** The name of the setting that it is about, as the API spells it; empty where it is about none. */
  get field() {
    const named = /^(?:--)?([a-z][a-z_-]*)(?:\.\d+)* (?:must be|is missing)/.exec(this.message);
    return this.body.field ?? (named ? named[1].replaceAll("-", "_") : "");
  }
}

/** Nobody has answered. */
export class Offline extends Error {
  constructor() {
    super("the server does not answer");
    this.hint = "It may have been stopped; batches go on without it.";
  }
}

/** The address of a call, for links and streams. */
export function address(path, query = {}) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) {
      if (each !== null && each !== undefined && each !== "") asked.append(name, each);
    }
  }
  const words = asked.toString();
  return `${ROOT}${path}${words ? `?${words}` : ""}`;
}

/** The path of a batch, or of something of it. */
export function batchPath(id, ...parts) {
  return ["/batches", id, ...parts].map((part, nth) => (nth ? encodeURIComponent(part) : part)).join("/");
}

export function get(path, query = {}, signal = undefined) {
  return call("GET", path, { query, signal });
}

/** The same of what users have stored: its whole numbers keep all of their digits, where the browser can do that. */
export function getExact(path, query = {}) {
  return call("GET", path, { query, parse: exact });
}

export function post(path, body = {}, patience = PATIENCE_MS) {
  return call("POST", path, { body, patience });
}

export function patch(path, body) {
  return call("PATCH", path, { body });
}

export function remove(path) {
  return call("DELETE", path, { patience: LONG_MS });
}

/** A number beyond 2**53 as it is written: it can be written again, and not be reckoned with. */
export function exact(text) {
  const keep = (_, value, context) => {
    const isRounded = Number.isInteger(value) && !Number.isSafeInteger(value);
    return isRounded && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
  };
  return JSON.parse(text, keep);
}

/**
 * Makes a call.
 * @param body an object is sent as JSON, a Blob as it is.
 * @param parse makes the answer of its text.
 * @param patience milliseconds until nobody is taken to be there.
 * @returns the JSON of the answer; null of an empty one.
 * @throws {Problem} the server has refused it.
 * @throws {Offline} no answer.
 * @throws {DOMException} AbortError: `signal` has ended it.
 */
export async function call(method, path, asked = {}) {
  const { query = {}, body = undefined, signal = undefined, headers = {}, parse = JSON.parse, patience = PATIENCE_MS } = asked;
  const isJson = body !== undefined && !(body instanceof Blob);
  const late = AbortSignal.timeout(patience);
  let answer;
  try {
    answer = await fetch(address(path, query), {
      method,
      headers: isJson ? { "Content-Type": "application/json", ...headers } : headers,
      body: isJson ? JSON.stringify(body) : body,
      signal: signal ? anyOf(signal, late) : late,
    });
    if (answer.ok) return answer.status === 204 ? null : parse(await answer.text());
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Offline();
  }
  throw await problemOf(answer);
}

/** The problem that an answer tells of; one that says that nobody is logged in leads to the login. */
export async function problemOf(answer) {
  if (answer.status === 401) logIn();
  return new Problem(answer.status, await answer.json().catch(() => ({})));
}

let isLeaving = false;
addEventListener("pageshow", () => {
  isLeaving = false; // the Back button has led here again
});

/** To the login, and later back to the page that is shown now; several calls may find out at a time that it is due. */
export function logIn() {
  if (isLeaving) return;
  isLeaving = true;
  sessionStorage.setItem(BACK, location.hash); // a one-time link that is opened instead leads to the first page
  location.assign(`/login?next=${encodeURIComponent(`/${location.hash}`)}`);
}

/** Where somebody was who had to log in again; told once. */
export function wayBack() {
  const back = sessionStorage.getItem(BACK);
  sessionStorage.removeItem(BACK);
  return back;
}

/** Ends the session of this browser. */
export async function logOut() {
  await fetch("/logout", { method: "POST" }).catch(() => null);
  location.assign("/login");
}

function anyOf(...signals) {
  const controller = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason);
    signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}
