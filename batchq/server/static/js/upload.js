/** Sends a file as a new batch. `fetch` cannot tell how much it has sent, so this is an XMLHttpRequest. */

import { Offline, Problem, address, logIn } from "./api.js";

export class Upload {
  #request = new XMLHttpRequest();

  /**
   * Begins at once.
   * @param {Blob} file
   * @param {Object} query function and options.
   * @param {string} key the Idempotency-Key: sent twice, it makes one batch.
   * @param {function(number, number)} progress bytes sent, and all of them.
   */
  constructor(file, query, key, progress) {
    /** The batch; rejects with `Problem`, `Offline`, or an AbortError after `abort`. */
    this.answer = new Promise((resolve, reject) => {
      const request = this.#request;
      request.upload.onprogress = (event) => progress(event.loaded, event.total);
      request.onload = () => {
        const body = parsed(request.responseText);
        if (request.status < 300) return resolve(body);
        if (request.status === 401) logIn();
        return reject(new Problem(request.status, body));
      };
      request.onerror = () => reject(new Offline());
      request.onabort = () => reject(new DOMException("stopped", "AbortError"));
      request.open("POST", address("/batches/upload", query));
      request.setRequestHeader("Idempotency-Key", key);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.send(file);
    });
  }

  abort() {
    this.#request.abort();
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
