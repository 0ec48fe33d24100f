/** A new batch: items from a file or pasted, a handler that is allowed, options, and the upload. */

import { Problem, get } from "./api.js";
import { sent } from "./deadline.js";
import { el, setText, show } from "./dom.js";
import { size } from "./format.js";
import { HandlerChoice } from "./handlers.js";
import { ItemSource } from "./source.js";
import { failAt } from "./limits.js";
import { alertBox, field } from "./parts.js";
import { link } from "./router.js";
import { FurtherStages } from "./stages.js";
import { setIcon, setTitle } from "./title.js";
import { Upload } from "./upload.js";

/** Options in the order of the form: name, label, hint, value at first, and whether it is behind "More options". */
const OPTIONS = [
  ["concurrency", "Items at a time", "", "5"],
  ["timeout", "Timeout of an attempt, seconds", "0 for none", "300"],
  ["retry_attempts", "Attempts of an item", "The first included", "3"],
  ["batch_id", "Id of the batch", "Letters, digits, . _ -; empty chooses one", ""],
  ["priority", "Priority", "Higher runs first", "0"],
  ["limit", "Read at most so many items", "Empty reads all", ""],
  ["rate", "Rate", "600/m", "", true],
  ["budget", "Budget of what is spent", "usd=20", "", true],
  ["halt", "Halt at so many failures", "100, or 20%", "", true],
  ["deadline", "Deadline", "2h from now, or by your clock: 18:30, 2026-12-01 18:30", "", true],
  ["id_field", "Field with the id of an item", "id, idea_id or custom_id, unless another is named", "", true],
  ["where", "Only items for which", "lang == \"en\"", "", true],
];
const STOPPED = "The upload is stopped. Nothing of it is kept on the server, and no batch is made.";
const TEXTS = new Set(["batch_id", "rate", "budget", "halt", "deadline", "id_field", "where"]);
/** What is sent for a typed text, where it is not the text itself. */
const SENT = { rate: words, budget: words, deadline: sent };

/** Opens the page; see `startRouter`. */
export function openCreate(main, where, context) {
  return new CreatePage(main, context);
}

class CreatePage {
  #context;
  #fields = new Map();
  #wrong = alertBox();
  #source;
  #handler;
  #stages = new FurtherStages();
  #upload = null;
  #key = null;
  #submit = el("button", { type: "submit", class: "primary" }, "Start the batch");
  #stop = el("button", { type: "button" }, "Stop the upload");
  #progress = el("progress", { max: "1", value: "0", "aria-label": "Upload" });
  #sent = el("span", { class: "note", role: "status" });
  #sending = el("div", { class: "sending", hidden: true }, this.#progress, this.#sent, this.#stop);
  #stopped = el("p", { class: "note", hidden: true }, STOPPED);

  constructor(main, context) {
    this.#context = context;
    const changed = () => this.#edited();
    this.#source = new ItemSource(changed, () => this.#reading());
    this.#handler = new HandlerChoice(changed, (targets, isOpen) => this.#stages.offer(targets, isOpen));
    for (const [name, label, hint, value] of OPTIONS) this.#addField(name, label, hint, value);
    const typed = field("csv_types", "Cells become numbers, true and false where they look like it", el("input", { type: "checkbox" }));
    this.#fields.set("csv_types", typed);
    const nodes = (more) => OPTIONS.filter((each) => Boolean(each[4]) === more).map(([name]) => this.#fields.get(name).node);
    const form = el("form", { class: "create", novalidate: true },
      step("1", "Items", this.#source.node),
      step("2", "Function", this.#handler.node),
      step("3", "Options", el("div", { class: "fields" }, nodes(false)),
        el("details", { class: "more" }, el("summary", {}, "More options"), el("div", { class: "fields" }, nodes(true), typed.node, this.#stages.node))),
      el("div", { class: "card submit" }, this.#wrong.node, this.#stopped, this.#sending, el("div", { class: "buttons" }, this.#submit, el("a", { class: "button", href: link([]) }, "Not now"))));
    form.addEventListener("submit", (event) => this.#start(event));
    form.addEventListener("input", changed);
    form.addEventListener("change", (event) => this.#fields.has(event.target.name) && this.#source.previewSoon());
    this.#stop.addEventListener("click", () => this.#upload?.abort());
    main.append(el("div", { class: "head" }, el("h1", { tabindex: "-1" }, "New batch")), form);
    setTitle("New batch");
    setIcon();
    get("/server").then((server) => { this.#source.most = server.max_upload; }, () => {});
  }

  #addField(name, label, hint, value) {
    const input = el("input", { type: "text", autocomplete: "off", spellcheck: "false", inputmode: TEXTS.has(name) ? null : "numeric" });
    input.value = value;
    this.#fields.set(name, field(name, label, input, hint));
  }

  /** Another request than the last one: it gets a key of its own. */
  #edited() {
    this.#key = null;
  }

  /** Options that say how the file is read. */
  #reading() {
    const asked = {};
    for (const name of ["id_field", "where"]) asked[name] = this.#fields.get(name).control.value.trim();
    if (this.#fields.get("csv_types").control.checked) asked.csv_types = "true";
    return asked;
  }

  #options() {
    const asked = {};
    for (const [name, , , value] of OPTIONS) {
      const text = this.#fields.get(name).control.value.trim();
      if (text === value || (text === "" && value !== "")) continue;
      asked[name] = (SENT[name] ?? String)(text);
    }
    if (this.#fields.get("csv_types").control.checked) asked.csv_types = "true";
    return asked;
  }

  async #start(event) {
    event.preventDefault();
    if (this.#upload) return;
    this.#wrong.clear();
    show(this.#stopped, false);
    for (const each of this.#fields.values()) each.fail("");
    this.#stages.clear();
    const file = this.#source.check();
    const func = this.#handler.check();
    if (!file || !func) {
      this.#context.announce("Something is missing.");
      return (file ? this.#handler : this.#source).focus();
    }
    // The same request again, after a broken connection, makes no second batch.
    this.#key ??= freshKey();
    const query = { name: file.name, func, then: this.#stages.targets, ...this.#options() };
    this.#upload = new Upload(file, query, this.#key, (sent, all) => this.#sentSoFar(sent, all));
    this.#busy(true);
    try {
      const batch = await this.#upload.answer;
      this.#context.announce(`${batch.batch_id} is made.`);
      location.hash = link(["batches", batch.batch_id]);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#upload = null;
      this.#busy(false);
    }
    return undefined;
  }

  #failed(error) {
    if (error instanceof Problem) this.#key = null;
    if (error.name === "AbortError") return this.#wasStopped();
    if (error instanceof Problem && error.field === "func") return this.#handler.fail(error);
    if (error instanceof Problem && isAboutInput(error)) return this.#source.fail(error);
    if (!this.#stages.fail(error)) failAt(this.#fields, this.#wrong, error);
    const more = document.querySelector("details.more");
    if (more.querySelector("[aria-invalid]")) {
      more.open = true;
      more.querySelector("[aria-invalid]").focus();
    }
    return undefined;
  }

  /** By the button, or since the page was left; once all is sent it is too late for either. */
  #wasStopped() {
    if (this.#stop.hidden) return;
    show(this.#stopped, true);
    this.#context.announce(STOPPED);
  }

  #sentSoFar(sent, all) {
    this.#progress.value = all ? sent / all : 1;
    if (sent >= all) this.#hideWithFocus(this.#stop);
    const words = sent < all ? `${size(sent)} of ${size(all)} sent` : `${size(all)} sent, the batch is being made …`;
    setText(this.#sent, words);
  }

  #busy(is) {
    if (is) {
      this.#progress.value = 0;
      setText(this.#sent, "");
      show(this.#stop, true);
      show(this.#sending, true);
    } else this.#hideWithFocus(this.#sending);
    if (is) this.#submit.setAttribute("aria-busy", "true");
    else this.#submit.removeAttribute("aria-busy");
  }

  /** What is hidden while it has the focus would leave the keyboard at the top of the page. */
  #hideWithFocus(node) {
    if (node.contains(document.activeElement)) this.#submit.focus();
    show(node, false);
  }

  moved() {}

  close() {
    this.#upload?.abort();
    this.#source.close();
  }
}

function isAboutInput(error) {
  return error.kind === "InputError" || error.status === 413 || error.status === 415;
}

function step(nth, title, ...content) {
  return el("section", { class: "card step", "aria-label": title },
    el("h2", {}, el("span", { class: "nth", "aria-hidden": "true" }, nth), title), content);
}

/** `crypto.randomUUID` is only there on localhost and behind TLS. */
function freshKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function words(text) {
  return text.split(/[,;\s]+/).filter(Boolean);
}
