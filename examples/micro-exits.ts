/**
 * Self-supervised early exits: the whole idea in one file, without any library. It trains a small language model on
 * characters, teaches it to answer early, tests how far that may be trusted, and writes text with less work. Read it
 * from top to bottom, beside docs/micro-exits.md.
 *   node examples/micro-exits.ts [steps of training] [seed]     Node 24; on Node 20: npx tsx examples/micro-exits.ts
 */
import { deepEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";

// ---- Settings, and chance ----
const STEPS = Number(process.argv[2] ?? 700);
const SEED = Number(process.argv[3] ?? 1);
const WIDTH = 48; // numbers in a state: what the model knows at one character
const HEADS = 3; // of attention
const BLOCKS = 6;
const DEPTHS = [2, 4, BLOCKS]; // how many blocks have run where the model may answer: two exits, and the end
const FIRST = DEPTHS[0];
const LAST = DEPTHS.length - 1;
const LENGTH = 64; // characters of a text in training, and of a passage in tests
const BATCH = 4; // texts in a step of training
const LEVEL = 0.9; // exits must keep this share of what the full model says, ...
const DELTA = 0.05; // ... and this is the probability that the promise is wrong
const NEVER = Infinity; // a threshold that nothing reaches
let last = 1000 + SEED;
/** A number between 0 and 1; for a seed, always the same ones in the same order (Park and Miller, 1988). */
const random = (): number => (last = (last * 48271) % 2147483647) / 2147483647;
const below = (n: number): number => Math.floor(n * random());

// ---- Text ----
const file = new URL("../models/sotu-12/documents.json", import.meta.url); // State of the Union addresses
const corpus = JSON.parse(readFileSync(file, "utf8")) as Record<string, { readonly text: string }[]>;
const ALPHABET = " abcdefghijklmnopqrstuvwxyz0123456789.,;-'$?"; // other characters are left out
const SIZE = ALPHABET.length;
const encode = (text: string): number[] =>
  Array.from(text.toLowerCase(), (char) => ALPHABET.indexOf(char)).filter((id) => id >= 0);
const passages = (part: string): number[][] => corpus[part].map(({ text }) => encode(`${text} `));
const book = passages("train").flat();
const heldOut = (part: string): number[][] => passages(part).map((ids) => ids.slice(0, LENGTH));

// ---- Matrices ----
/** Numbers, row after row, and for each of them how much the loss grows with it. */
type Matrix = Readonly<{ rows: number; cols: number; data: Float64Array; grad: Float64Array }>;

let work = 0; // multiply-adds so far, of products and of attention
let learning = true; // whether operations go onto the tape
const tape: (() => void)[] = []; // of each operation: how it passes gradients from its result to its inputs
const record = (passBack: () => void): unknown => learning && tape.push(passBack);

function matrix(rows: number, cols: number): Matrix {
  const size = rows * cols;
  return { rows, cols, data: new Float64Array(size), grad: new Float64Array(learning ? size : 0) };
}

/** The product of n numbers of a, from i on, and n of b, from j on. */
function dot(a: Float64Array, i: number, b: Float64Array, j: number, n: number): number {
  let total = 0;
  for (let l = 0; l < n; l++) total += a[i + l] * b[j + l];
  return total;
}

/** Adds n numbers of x, from i on, times a factor, to those of out, from o on. */
function addScaled(out: Float64Array, o: number, x: Float64Array, i: number, n: number, factor = 1): void {
  for (let l = 0; l < n; l++) out[o + l] += factor * x[i + l];
}

/** Adds the product of a, [n, k], and b, [k, m], to out: four columns at once, because most time is spent here. */
function addProduct(a: Float64Array, b: Float64Array, out: Float64Array, n: number, k: number, m: number): void {
  work += n * k * m;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j += 4) {
      let [y0, y1, y2, y3] = [0, 0, 0, 0];
      for (let l = 0, at = j; l < k; l++, at += m) {
        const x = a[i * k + l];
        y0 += x * b[at];
        y1 += x * b[at + 1];
        y2 += x * b[at + 2];
        y3 += x * b[at + 3];
      }
      out[i * m + j] += y0;
      out[i * m + j + 1] += y1;
      out[i * m + j + 2] += y2;
      out[i * m + j + 3] += y3;
    }
  }
}

const transposed = ({ data, rows, cols }: Matrix): Float64Array =>
  data.map((_, i) => data[(i % rows) * cols + Math.floor(i / rows)]);

// ---- Operations, each with its gradient ----
function product(x: Matrix, w: Matrix): Matrix {
  const y = matrix(x.rows, w.cols);
  addProduct(x.data, w.data, y.data, x.rows, x.cols, w.cols);
  record(() => {
    addProduct(transposed(x), y.grad, w.grad, x.cols, x.rows, w.cols);
    if (x.grad.length > 0) addProduct(y.grad, transposed(w), x.grad, x.rows, w.cols, x.cols);
  });
  return y;
}

function sum(a: Matrix, b: Matrix): Matrix {
  const y = matrix(a.rows, a.cols);
  for (const x of [a, b]) {
    addScaled(y.data, 0, x.data, 0, y.data.length);
    record(() => addScaled(x.grad, 0, y.grad, 0, y.data.length));
  }
  return y;
}

/** The squares of positive numbers; 0 for negative ones. */
function squaredRelu(x: Matrix): Matrix {
  const y = matrix(x.rows, x.cols);
  x.data.forEach((value, i) => (y.data[i] = Math.max(0, value) ** 2));
  record(() => y.grad.forEach((g, i) => (x.grad[i] += 2 * Math.max(0, x.data[i]) * g)));
  return y;
}

/** Every row scaled to a mean square of 1. */
function norm(x: Matrix): Matrix {
  const y = matrix(x.rows, x.cols);
  for (let at = 0; at < x.data.length; at += x.cols) {
    const scale = 1 / Math.sqrt(dot(x.data, at, x.data, at, x.cols) / x.cols + 1e-6);
    addScaled(y.data, at, x.data, at, x.cols, scale);
    if (x.grad.length === 0) continue; // x is frozen
    record(() => {
      const along = dot(y.grad, at, y.data, at, x.cols) / x.cols;
      addScaled(x.grad, at, y.grad, at, x.cols, scale);
      addScaled(x.grad, at, y.data, at, x.cols, -scale * along);
    });
  }
  return y;
}

/**
 * For each row of q a mixture of values: those of its own and of earlier rows, mostly where the key resembles q and is
 * near. A row of kv is a key and a value; each head has columns of its own. Of a text, q may have the last rows only.
 */
function attention(q: Matrix, kv: Matrix, texts: number): Matrix {
  const y = matrix(q.rows, WIDTH);
  const size = WIDTH / HEADS;
  const [n, m] = [q.rows / texts, kv.rows / texts];
  for (let i = 0; i < q.rows * HEADS; i++) {
    const [row, head] = [Math.floor(i / HEADS), i % HEADS];
    const at = row * WIDTH + head * size;
    const key = (j: number): number => (Math.floor(row / n) * m + j) * 2 * WIDTH + head * size;
    const value = (j: number): number => key(j) + WIDTH;
    const shares = new Float64Array(m - n + (row % n) + 1); // one for each row up to its own
    work += 2 * shares.length * size;
    shares.forEach((_, j) => {
      const distance = (shares.length - 1 - j) * 2 ** (-2 * head - 1); // some heads look near, some far
      shares[j] = Math.exp(dot(q.data, at, kv.data, key(j), size) / Math.sqrt(size) - distance);
    });
    const total = shares.reduce((a, b) => a + b);
    shares.forEach((share, j) => {
      shares[j] = share / total;
      addScaled(y.data, at, kv.data, value(j), size, shares[j]);
    });
    record(() => {
      const slopes = shares.map((_, j) => dot(y.grad, at, kv.data, value(j), size));
      const mean = dot(shares, 0, slopes, 0, shares.length);
      shares.forEach((share, j) => {
        const slope = (share * (slopes[j] - mean)) / Math.sqrt(size);
        addScaled(q.grad, at, kv.data, key(j), size, slope);
        addScaled(kv.grad, key(j), q.data, at, size, slope);
        addScaled(kv.grad, value(j), y.grad, at, size, share);
      });
    });
  }
  return y;
}

/** Each row of scores as probabilities. */
function softmax({ data, rows, cols }: Matrix): Float64Array {
  const chances = data.map(Math.exp); // no score here is large enough to overflow
  for (let i = 0; i < rows; i++) {
    const row = chances.subarray(i * cols, (i + 1) * cols);
    const total = row.reduce((a, b) => a + b);
    row.forEach((chance, j) => (row[j] = chance / total));
  }
  return chances;
}

/** The surprise at a target (probabilities, too) of one who expects softmax(logits): the mean of all rows, in nats. */
function crossEntropy(logits: Matrix, target: Float64Array): number {
  const chances = softmax(logits);
  record(() => chances.forEach((chance, i) => (logits.grad[i] += (chance - target[i]) / logits.rows)));
  return chances.reduce((loss, chance, i) => loss - (target[i] * Math.log(chance)) / logits.rows, 0);
}

// ---- The model ----
function weight(rows: number, cols: number, scale = 1): Matrix {
  const w = matrix(rows, cols);
  for (let i = 0; i < w.data.length; i++) w.data[i] = scale * (2 * random() - 1) * Math.sqrt(3 / rows);
  return w;
}

const embedding = weight(SIZE, WIDTH, Math.sqrt(SIZE));
const blocks = Array.from({ length: BLOCKS }, () => ({
  query: weight(WIDTH, WIDTH),
  out: weight(WIDTH, WIDTH, 0.3),
  up: weight(WIDTH, 2 * WIDTH),
  down: weight(2 * WIDTH, WIDTH, 0.3),
}));
/** Makes keys and values: one matrix for each block below the first exit, and one for all blocks above it together. */
const keyValue = Array.from({ length: FIRST + 1 }, () => weight(WIDTH, 2 * WIDTH));
/** Turn states at each of DEPTHS into scores of the next character: the exit heads, and the model's own, the last. */
const readers = DEPTHS.map(() => weight(WIDTH, SIZE, 0.1));
const heads = readers.slice(0, LAST);
const model = [embedding, readers[LAST], ...keyValue, ...blocks.flatMap((block): Matrix[] => Object.values(block))];
/** Keys and values that characters leave for later ones, by the matrix that made them. */
const noMemory = (): Matrix[] => keyValue.map(({ cols }) => matrix(0, cols));
/** The rows of a, and below them those of b. */
const stack = (a: Matrix, b: Matrix): Matrix =>
  a.rows === 0 ? b : { ...b, rows: a.rows + b.rows, data: new Float64Array([...a.data, ...b.data]) };

function oneHot(ids: readonly number[]): Matrix {
  const x = matrix(ids.length, SIZE);
  ids.forEach((id, row) => (x.data[row * SIZE + id] = 1));
  return x;
}

/** Runs states that have passed `from` blocks through further ones, until they have passed `to`. */
function advance(x: Matrix, from: number, to: number, memory: Matrix[], texts = 1): Matrix {
  const remember = (i: number): unknown => (memory[i] = stack(memory[i], product(norm(x), keyValue[i])));
  for (let depth = from; depth < to; depth++) {
    const { query, out, up, down } = blocks[depth];
    if (depth < FIRST) remember(depth);
    const seen = attention(product(norm(x), query), memory[Math.min(depth, FIRST)], texts);
    x = sum(x, product(seen, out));
    x = sum(x, product(squaredRelu(product(norm(x), up)), down));
    if (depth + 1 === FIRST) remember(FIRST); // all that blocks above will see of these characters
  }
  return x;
}

const embed = (ids: readonly number[]): Matrix => product(oneHot(ids), embedding);
const scores = (x: Matrix, i: number): Matrix => product(norm(x), readers[i]);

/** The states of whole texts at each of DEPTHS. */
function statesOf(ids: readonly number[], texts = 1): Matrix[] {
  const memory = noMemory();
  let x = embed(ids);
  return DEPTHS.map((depth, i) => (x = advance(x, DEPTHS[i - 1] ?? 0, depth, memory, texts)));
}

// ---- Training ----
/** Adam: steps of about `rate` along the gradients' running mean, over their running size. */
function train(weights: readonly Matrix[], steps: number, lossOf: (ids: number[], next: number[]) => number): void {
  const moments = weights.map(({ data }) => ({ mean: data.map(() => 0), square: data.map(() => 0) }));
  let loss = 0;
  for (let step = 1; step <= steps; step++) {
    const starts = Array.from({ length: BATCH }, () => below(book.length - LENGTH));
    const from = (shift: number): number[] => starts.flatMap((at) => book.slice(at + shift, at + shift + LENGTH));
    loss += (lossOf(from(0), from(1)) - loss) / Math.min(step, 50); // the mean of the last fifty steps, about
    while (tape.length > 0) tape.pop()!(); // backpropagation: the last operation first
    const rate = 0.006 * Math.min(1, step / 20, 1 - step / (steps + 1));
    weights.forEach(({ data, grad }, w) => {
      const { mean, square } = moments[w];
      for (let i = 0; i < data.length; i++) {
        mean[i] += 0.1 * (grad[i] - mean[i]);
        square[i] += 0.05 * (grad[i] ** 2 - square[i]);
        data[i] -= (rate * mean[i]) / (1 - 0.9 ** step) / (Math.sqrt(square[i] / (1 - 0.95 ** step)) + 1e-9);
      }
      grad.fill(0);
    });
    if (step % Math.ceil(steps / 5) === 0) console.log(`  step ${step}: loss ${loss.toFixed(3)}`);
  }
}

console.log(`${model.reduce((total, { data }) => total + data.length, 0)} weights learn to say the next character`);
train(model, STEPS, (ids, next) => crossEntropy(scores(statesOf(ids, BATCH)[LAST], LAST), oneHot(next).data));

// ---- Exit heads ----
console.log("exit heads learn what the model will say");
for (const { data } of heads) data.set(readers[LAST].data); // a good guess to begin with
learning = false; // the model is frozen: what it computes is not recorded
train(heads, Math.ceil(STEPS / 4), (ids) => {
  const states = statesOf(ids, BATCH);
  const own = softmax(scores(states[LAST], LAST)); // the target: no text says what is right, the model does
  learning = true;
  const loss = heads.reduce((total, _, i) => total + crossEntropy(scores(states[i], i), own) / LAST, 0);
  learning = false;
  return loss;
});

/** A character, its probability, and the depth at which it was said. */
type Guess = Readonly<{ id: number; chance: number; depth: number }>;
const idsOf = (said: readonly Guess[]): number[] => said.map(({ id }) => id);

/** The guess of reader i after each row. */
function guesses(x: Matrix, i: number): Guess[] {
  const chances = softmax(scores(x, i));
  return Array.from({ length: x.rows }, (_, row) => {
    const ofRow = chances.subarray(row * SIZE, (row + 1) * SIZE);
    const chance = Math.max(...ofRow);
    return { id: ofRow.indexOf(chance), chance, depth: DEPTHS[i] };
  });
}

// ---- A threshold, tested ----
/** The probability of at most k errors in n trials that each fail with probability p: terms of the binomial. */
function atMost(k: number, n: number, p: number): number {
  let [term, total] = [(1 - p) ** n, 0];
  for (let i = 0; i <= k; i++) {
    total += term;
    term *= ((n - i) / (i + 1)) * (p / (1 - p));
  }
  return total;
}

/** Of each held-out passage, what all readers say at ONE random position: passages are independent, characters not. */
const units = heldOut("calibration").map((ids) =>
  statesOf(ids.slice(0, 1 + below(ids.length))).map((x, i) => guesses(x, i).at(-1)!),
);
console.log(`${units.length} passages test thresholds, the strictest first`);
let threshold = NEVER;
for (let candidate = 60; candidate >= 0; candidate -= 2) {
  const leaves = ({ chance }: Guess, i: number): boolean => i === LAST || chance >= candidate / 100;
  const errors = units.filter((said) => said.find(leaves)!.id !== said[LAST].id).length;
  const p = atMost(errors, units.length, 1 - LEVEL); // the chance of so few errors, if the threshold were too lax
  console.log(`  leave where a head gives ${candidate} %: ${errors} errors, p ${p.toFixed(4)}`);
  if (p > DELTA) break; // the first failure ends the search, and is not accepted
  threshold = candidate / 100;
}

// ---- Writing ----
/** Reads one character and says the next one, at the first exit that is sure enough. */
function next(id: number, memory: Matrix[], threshold: number): Guess {
  let x = embed([id]);
  for (let i = 0; ; i++) {
    x = advance(x, DEPTHS[i - 1] ?? 0, DEPTHS[i], memory);
    if (i < LAST && threshold === NEVER) continue; // a head that is not asked costs nothing
    const [guess] = guesses(x, i);
    if (i === LAST || guess.chance >= threshold) return guess;
  }
}

function write(prompt: readonly number[], length: number, threshold: number): Guess[] {
  const memory = noMemory();
  advance(embed(prompt.slice(0, -1)), 0, FIRST, memory); // all that later characters will see of them
  const text: Guess[] = [];
  while (text.length < length) text.push(next(text.at(-1)?.id ?? prompt.at(-1)!, memory, threshold));
  return text;
}

// ---- Writing without loss ----
/** The full model's text: the first exit drafts four characters, and the blocks above check them in one pass. */
function writeLossless(prompt: readonly number[], length: number): { text: number[]; passes: number } {
  const memory = noMemory();
  advance(embed(prompt.slice(0, -1)), 0, FIRST, memory);
  const text = [...prompt];
  let passes = 0;
  for (; text.length < prompt.length + length; passes++) {
    const draft = text.slice(-1);
    let states = matrix(0, WIDTH);
    while (draft.length <= 4) {
      const x = advance(embed(draft.slice(-1)), 0, FIRST, memory);
      states = stack(states, x);
      draft.push(guesses(x, 0)[0].id);
    }
    const full = idsOf(guesses(advance(states, FIRST, BLOCKS, memory), LAST));
    const wrong = full.findIndex((id, i) => id !== draft[i + 1]);
    text.push(...full.slice(0, wrong < 0 ? full.length : wrong + 1)); // the right character in place of a wrong one
    const rows = text.length - 1; // whose keys and values are right; those of rejected characters go
    memory.forEach(({ cols, data }, i) => (memory[i] = { ...memory[i], rows, data: data.subarray(0, rows * cols) }));
  }
  return { text: text.slice(prompt.length, prompt.length + length), passes };
}

// ---- The gain ----
const show = (title: string, said: readonly Guess[]): void => {
  const text = said.map(({ id }) => ALPHABET[id]).join("");
  console.log(`${title}\n  ${text}\n  ${said.map(({ depth }) => depth).join("")}`);
};
const prompt = encode("The people of the ");
const plain = write(prompt, LENGTH, NEVER);
const lossless = writeLossless(prompt, LENGTH);
deepEqual(lossless.text, idsOf(plain));
show(`the full model writes, and lossless drafts the same in ${lossless.passes} passes`, plain);
show("exits write, with the depth of each character below it", write(prompt, LENGTH, threshold));

/** Reads other passages, saying every next character, and counts the work. */
function check(threshold: number): { said: Guess[]; cost: number } {
  const before = work;
  const said = heldOut("test").flatMap((ids) => {
    const memory = noMemory();
    return ids.map((id) => next(id, memory, threshold));
  });
  return { said, cost: work - before };
}
const [full, early] = [NEVER, threshold].map(check);
const passage = corpus.test[0].text.slice(1, 1 + LENGTH);
show(`in a speech, exits expect the next character\n  ${passage}`, early.said.slice(0, LENGTH));
const same = early.said.filter(({ id }, i) => id === full.said[i].id).length / early.said.length;
const depth = early.said.reduce((total, one) => total + one.depth, 0) / early.said.length;
const promise = threshold === NEVER ? "nothing was certified" : `certified: ${100 * LEVEL} %`;
console.log(
  `agreement ${(100 * same).toFixed(1)} % on other passages (${promise}), mean depth ${depth.toFixed(2)} of ` +
    `${BLOCKS}, ${(full.cost / early.cost).toFixed(2)} times fewer multiply-adds`,
);
