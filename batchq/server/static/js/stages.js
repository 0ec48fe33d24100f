/** The functions of further stages, in their order: behind the last one that is chosen stands an empty choice. */

import { el, show } from "./dom.js";
import { TargetField } from "./targets.js";

const MOST = 20;

export class FurtherStages {
  #fields = [];
  #grid = el("div", { class: "fields" });
  #offered = null;

  constructor() {
    this.node = el("fieldset", { class: "stages", hidden: true },
      el("legend", {}, "Further stages"),
      this.#grid,
      el("p", { class: "hint" }, "Each gets what the stage before it has returned, which is kept: a retry begins at the one that has failed"));
  }

  /** See `TargetField.offer`. */
  offer(targets, isOpen) {
    this.#offered = { targets, isOpen };
    show(this.node, true);
    this.#extend();
  }

  /** What is chosen so far. */
  get targets() {
    return this.#fields.map((field) => field.value).filter(Boolean);
  }

  #extend() {
    if (this.#fields.length >= MOST || this.#fields.at(-1)?.value === "") return;
    const stage = this.#fields.length + 2;
    const field = new TargetField("then", `Stage ${stage}`, `Function of stage ${stage}`, () => this.#extend());
    this.#fields.push(field); // first: it calls back at once
    field.offer(this.#offered.targets, this.#offered.isOpen, "None");
    this.#grid.append(field.node);
  }

  clear() {
    for (const field of this.#fields) field.fail("");
  }

  /** Shows an error beside the stage whose function it names; false where it names none of them. */
  fail(error) {
    const field = this.#fields.find(({ value }) => value && error.message.includes(`'${value}'`));
    field?.fail([error.message, error.hint].filter(Boolean).join(". "));
    return Boolean(field);
  }
}
