/**
 * What the server tells by itself. A stream that breaks is opened again, after growing delays; a page that nobody sees
 * asks now and then instead, because a browser has six connections to a server for all of its tabs together.
 */

import { Problem, address, get } from "./api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const SILENCE_MS = 40_000;
const HIDDEN_MS = 10_000;

export class Stream {
  #path;
  #look;
  #listener;
  #link;
  #source = null;
  #timer = null;
  #wait = FIRST_WAIT_MS;
  #closed = false;

  /**
   * @param {string} path of the stream.
   * @param {string} look path that can be asked instead: it tells a broken connection from a batch that is gone.
   * @param {Object} listener with `status(batch)`, `deleted(id)`, `opened()`: what was missed has to be read again,
   *     and `gone()`.
   * @param link the connection that is shown in the header.
   */
  constructor(path, look, listener, link) {
    this.#path = path;
    this.#look = look;
    this.#listener = listener;
    this.#link = link;
    document.addEventListener("visibilitychange", this.#turn);
    addEventListener("online", this.now);
    this.#turn();
  }

  close() {
    this.#closed = true;
    document.removeEventListener("visibilitychange", this.#turn);
    removeEventListener("online", this.now);
    this.#stop();
  }

  /** Try again at once. */
  now = () => {
    if (!this.#closed && !this.#source) this.#open();
  };

  #turn = () => {
    this.#stop();
    if (document.hidden && this.#link.isLive) this.#timer = setTimeout(this.#ask, HIDDEN_MS);
    else this.#open();
  };

  #stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.#stop();
    const source = new EventSource(address(this.#path));
    this.#source = source;
    source.onopen = () => {
      this.#wait = FIRST_WAIT_MS;
      this.#heard();
      this.#listener.opened();
    };
    source.addEventListener("status", (event) => {
      this.#heard();
      this.#listener.status(JSON.parse(event.data));
    });
    source.addEventListener("deleted", (event) => {
      this.#heard();
      this.#listener.deleted(JSON.parse(event.data).batch_id);
    });
    source.onerror = () => this.#broken();
  }

  #heard() {
    this.#link.heard();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#check(), SILENCE_MS);
  }

  /** Nothing may have happened, or nobody may be there. */
  async #check() {
    const source = this.#source;
    try {
      await get(this.#look);
      if (source === this.#source && !this.#closed) this.#heard();
    } catch {
      if (source === this.#source) this.#broken();
    }
  }

  async #broken() {
    this.#stop();
    let answers = false;
    try {
      await get(this.#look);
      answers = true;
    } catch (error) {
      if (this.#closed || (error instanceof Problem && error.status === 401)) return;
      if (error instanceof Problem && error.status === 404) return this.#listener.gone();
    }
    if (this.#closed || this.#source) return;
    // A server that answers has ended the stream for a reason of its own, say a proxy's: that is no disconnection yet.
    const wait = this.#wait * (1 + Math.random() / 4);
    if (!answers || this.#wait > FIRST_WAIT_MS) this.#link.lost(wait, this.now);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  #ask = async () => {
    try {
      await get(this.#look);
      this.#link.heard();
      this.#listener.opened();
    } catch {
      return this.#broken();
    }
    if (document.hidden && !this.#closed) this.#timer = setTimeout(this.#ask, HIDDEN_MS);
  };
}
