/** The functions that the owner of the server has allowed. */

import { get } from "./api.js";
import { el, replace, setText, show } from "./dom.js";
import { failure, field, loading } from "./parts.js";

const OTHER = "\0";

export class HandlerChoice {
  #select = el("select");
  #other = el("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: "package.module:function" });
  #summary = el("p", { class: "summary" });
  #handlers = [];
  #choice = field("func", "Which function runs over each item", this.#select);
  #named = field("func", "Its name", this.#other);
  #changed;

  constructor(changed) {
    this.#changed = changed;
    this.#select.addEventListener("change", () => this.#show());
    this.node = el("div", { class: "handlers" });
    this.#read();
  }

  async #read() {
    replace(this.node, loading(1, "Loading the functions"));
    try {
      const { handlers, patterns } = await get("/handlers");
      this.#handlers = handlers;
      this.#fill(patterns);
    } catch (error) {
      replace(this.node, failure(error, "The functions could not be read", () => this.#read()));
    }
  }

  #fill(patterns) {
    if (!patterns.length) return replace(this.node, this.#nothing());
    const known = this.#handlers.map(({ target }) => el("option", { value: target }, target.replace(/^.*\//, "")));
    const open = patterns.some((pattern) => /[*?[]/.test(pattern));
    const other = open || !known.length ? [el("option", { value: OTHER }, "Another one …")] : [];
    const first = known.length > 1 ? [el("option", { value: "" }, "Choose a function")] : [];
    replace(this.#select, first, known, other);
    replace(this.node, this.#choice.node, this.#named.node, this.#summary, patternsWords(patterns));
    return this.#show();
  }

  #nothing() {
    return el("div", { class: "trouble" },
      el("strong", {}, "No function is allowed yet"),
      el("p", {}, "The owner of this server says which may be named, when it is started: ", el("code", {}, "batchq serve --allow 'pipeline:*'")));
  }

  #show() {
    const chosen = this.#handlers.find(({ target }) => target === this.#select.value);
    setText(this.#summary, chosen?.summary ?? "");
    show(this.#summary, Boolean(chosen?.summary));
    show(this.#named.node, this.#select.value === OTHER);
    this.fail(null);
    this.#changed();
  }

  get #field() {
    return this.#select.value === OTHER ? this.#named : this.#choice;
  }

  /** The target; empty where none is chosen, which is told. */
  check() {
    const value = this.#field.control.value.trim();
    this.#field.fail(value ? "" : "Choose a function.");
    return value;
  }

  fail(error) {
    this.#choice.fail("");
    this.#named.fail("");
    if (!error) return;
    this.#field.fail([error.message, error.hint].filter(Boolean).join(". "));
    this.focus();
  }

  focus() {
    this.#field.control.focus();
  }
}

function patternsWords(patterns) {
  return el("p", { class: "hint" }, "Allowed: ", patterns.flatMap((pattern) => [el("code", {}, pattern), " "]));
}
