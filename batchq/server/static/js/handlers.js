/** The functions that the owner of the server has allowed. */

import { get } from "./api.js";
import { el, replace, setText, show } from "./dom.js";
import { failure, loading } from "./parts.js";
import { TargetField } from "./targets.js";

export class HandlerChoice {
  #summary = el("p", { class: "summary" });
  #handlers = [];
  #field;
  #changed;
  #offered;

  /**
   * @param changed is called when it is another one.
   * @param offered is given the targets of all, and whether others may be named.
   */
  constructor(changed, offered) {
    this.#changed = changed;
    this.#offered = offered;
    this.#field = new TargetField("func", "Which function runs over each item", "Its name", () => this.#show());
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
    const targets = this.#handlers.map(({ target }) => target);
    const isOpen = patterns.some((pattern) => /[*?[]/.test(pattern)) || !targets.length;
    this.#field.offer(targets, isOpen, targets.length > 1 ? "Choose a function" : "");
    replace(this.node, this.#field.nodes, this.#summary, patternsWords(patterns));
    return this.#offered(targets, isOpen);
  }

  #nothing() {
    return el("div", { class: "trouble" },
      el("strong", {}, "No function is allowed yet"),
      el("p", {}, "The owner of this server says which may be named, when it is started: ", el("code", {}, "batchq serve --allow 'pipeline:*'")));
  }

  #show() {
    const chosen = this.#handlers.find(({ target }) => target === this.#field.value);
    setText(this.#summary, chosen?.summary ?? "");
    show(this.#summary, Boolean(chosen?.summary));
    this.#changed();
  }

  /** The target; empty where none is chosen, which is told. */
  check() {
    this.#field.fail(this.#field.value ? "" : "Choose a function.");
    return this.#field.value;
  }

  fail(error) {
    this.#field.fail([error.message, error.hint].filter(Boolean).join(". "));
    this.focus();
  }

  focus() {
    this.#field.focus();
  }
}

function patternsWords(patterns) {
  return el("p", { class: "hint" }, "Allowed: ", patterns.flatMap((pattern) => [el("code", {}, pattern), " "]));
}
