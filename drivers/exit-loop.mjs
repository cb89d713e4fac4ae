/**
 * Decodes greedily with the graphs of an export, over the API that onnxruntime-node and onnxruntime-web share. See
 * "loop" in exits.json. Exact fills are done lazily: the states of tokens that left early wait at the graph where they
 * stopped, and run along when a later token goes there.
 */

export class ExitDecoder {
  /** `sessions` holds an InferenceSession for the name of every graph. */
  constructor({ Tensor }, manifest, sessions) {
    this.Tensor = Tensor;
    this.manifest = manifest;
    this.sessions = sessions;
  }

  /** Yields { id, depth, exit, score } after the prompt's ids; `exit` is absent where a token ran all blocks. */
  async *generate(prompt, { maxNewTokens = 64, exits = true, stopAtEndOfText = true } = {}) {
    const { model } = this.manifest;
    if (prompt.length === 0) throw new Error("generate: the prompt has no ids; give at least one");
    const text = this.#begin();
    if (prompt.length > 1) await this.#next(text, prompt.slice(0, -1), false);
    let id = prompt.at(-1);
    for (let n = 0; n < maxNewTokens && text.length < model.maxPositionEmbeddings; n++) {
      const token = await this.#next(text, [id], exits);
      yield token;
      ({ id } = token);
      if (stopAtEndOfText && model.eosTokenIds.includes(id)) return;
    }
  }

  async close() {
    for (const session of Object.values(this.sessions)) await session.release();
  }

  /** A text without tokens: no keys and values, no rows that wait. */
  #begin() {
    const { stretches, model } = this.manifest;
    const empty = () => new this.Tensor("float32", new Float32Array(0), [model.numKvHeads, 1, 0, model.headDim]);
    const layers = stretches.flatMap(({ caches }) => caches);
    const caches = new Map(layers.map((layer) => [layer, { key: empty(), value: empty() }]));
    return { length: 0, caches, waiting: stretches.map(() => []) };
  }

  /** Appends ids and runs graph after graph, until an exit lets the newest one leave. */
  async #next(text, ids, exits) {
    const { stretches, model } = this.manifest;
    text.length += ids.length;
    text.waiting[0] = text.waiting[0].concat(ids);
    for (const [k, stretch] of stretches.entries()) {
      const results = await this.#run(text, stretch, text.waiting[k]);
      text.waiting[k] = [];
      const { exit } = stretch;
      const id = Number(results.token.data[0]);
      if (exit === undefined) return { id, depth: model.numLayers };
      const rows = rowsOf(results.next_state);
      if (stretches[k + 1].newestRow) text.waiting[k + 1] = rows.slice(-1);
      else text.waiting[k + 1] = text.waiting[k + 1].concat(rows);
      const score = results.score.data[0];
      if (!exits || !this.#passes(score, exit.threshold)) continue;
      if (exit.fill !== undefined) {
        text.waiting = stretches.map(() => []);
        await this.#run(text, exit.fill, rows.slice(-1));
      }
      return { id, depth: exit.depth, exit: exit.index, score };
    }
  }

  /** Runs a graph on rows that end with the newest position; keeps the keys and values that it returns. */
  async #run(text, { graph, caches, reads = [], positions }, rows) {
    const feeds = typeof rows[0] === "number" ? { ids: this.#integers(rows) } : { state: this.#states(rows) };
    if (positions) feeds.positions = this.#integers(rows.map((_, i) => text.length - rows.length + i));
    for (const kind of ["key", "value"]) {
      for (const layer of caches) feeds[`past_${kind}_${layer}`] = text.caches.get(layer)[kind];
      for (const layer of reads) feeds[`seen_${kind}_${layer}`] = text.caches.get(layer)[kind];
    }
    const results = await this.sessions[graph].run(feeds);
    for (const layer of caches) {
      text.caches.set(layer, { key: results[`present_key_${layer}`], value: results[`present_value_${layer}`] });
    }
    return results;
  }

  #passes(score, threshold) {
    if (threshold === "always") return true;
    return this.manifest.score.leaves === "low" ? score <= threshold : score >= threshold;
  }

  #integers(values) {
    return new this.Tensor("int64", BigInt64Array.from(values, BigInt), [values.length]);
  }

  /** Rows of C numbers -> [T, C]. */
  #states(rows) {
    const { hiddenSize } = this.manifest.model;
    const values = new Float32Array(rows.length * hiddenSize);
    for (const [t, row] of rows.entries()) values.set(row, t * hiddenSize);
    return new this.Tensor("float32", values, [rows.length, hiddenSize]);
  }
}

/** [T, C] -> T rows of C numbers. */
function rowsOf({ data, dims: [rows, width] }) {
  return Array.from({ length: rows }, (_, t) => data.slice(t * width, (t + 1) * width));
}
