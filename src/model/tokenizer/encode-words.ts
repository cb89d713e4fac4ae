/**
 * Words to ids by byte-pair encoding (Sennrich et al. 2016, algorithm 1): start from characters, and join the pair
 * whose merge stands first in the list, the leftmost of equals, until no pair has a merge. A heap holds the pairs, so a
 * word of n characters takes n log n steps; a text without spaces is one word, so turns are given within words too. The
 * ids are those of Hugging Face's Rust library. Left out: dropout.
 */
import type { InParts } from "../../turns.js";
import { pop, push } from "../heap.js";
import type { BpeModel } from "./vocabulary.js";

/** Characters or joins between two turns, 1 to 4 ms. */
const STEPS = 2048;
/** Words of fewer characters are remembered, and so many of them. */
const SHORT = 256;
const REMEMBERED = 10_000;

const utf8 = new TextEncoder();

/**
 * Returns an encoder of a text's words, where "" stands for a turn. Characters without a token become those of their
 * bytes, or `unk_token`.
 */
export function wordEncoder(model: BpeModel): (words: Iterable<string>) => InParts<number[]> {
  const { vocab, merges, section } = model;
  const unnamed = vocab.tokens.length; // in place of an id
  const rankOf = rankFinder(merges);
  const unknown = typeof section["unk_token"] === "string" ? vocab.idOf(section["unk_token"]) : undefined;
  const remembered = new Map<string, readonly number[]>();

  /** Joins pairs. Each symbol lies at the place of its first character; places of joined ones are empty. */
  function* join(characters: readonly string[]): InParts<number[]> {
    const { length } = characters;
    const ids = new Int32Array(length + 1).fill(unnamed);
    const next = new Int32Array(length);
    const previous = new Int32Array(length + 1);
    const rankAt = (left: number): number => rankOf(ids[left]!, ids[next[left]!]!);
    const heap: number[] = []; // rank · length + place of the left symbol
    const consider = (left: number): void => {
      const rank = rankAt(left);
      if (rank >= 0) push(heap, rank * length + left);
    };
    for (let i = 0; i < length; i++) {
      if (i % STEPS === STEPS - 1) yield;
      ids[i] = vocab.idOf(characters[i]!) ?? unnamed;
      next[i] = i + 1;
      previous[i] = i - 1;
      if (i > 0) consider(i - 1);
    }
    for (let step = 1; heap.length > 0; step++) {
      if (step % STEPS === 0) yield;
      const best = pop(heap);
      const left = best % length;
      const rank = (best - left) / length;
      if (rankAt(left) !== rank) continue; // one of the pair has been joined since
      const right = next[left]!;
      ids[left] = merges[3 * rank + 2]!;
      ids[right] = EMPTY;
      next[left] = next[right]!;
      previous[next[left]] = left;
      if (previous[left]! >= 0) consider(previous[left]!);
      consider(left);
    }
    const encoded: number[] = [];
    for (let i = 0; i < length; i = next[i]!) {
      if (ids[i] === unnamed) encoded.push(...withoutToken(characters[i]!));
      else encoded.push(ids[i]!);
    }
    return encoded;
  }

  function withoutToken(character: string): readonly number[] {
    const bytes = section["byte_fallback"] === true ? [...utf8.encode(character)] : [];
    const ids = bytes.flatMap((byte) => vocab.idOf(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`) ?? []);
    if (bytes.length > 0 && ids.length === bytes.length) return ids;
    return unknown === undefined ? [] : [unknown];
  }

  function* encodeWord(word: string): InParts<readonly number[]> {
    const whole = section["ignore_merges"] === true ? vocab.idOf(word) : undefined;
    const ids = whole === undefined ? yield* join(Array.from(word)) : [whole];
    if (remembered.size === REMEMBERED) remembered.clear();
    if (word.length < SHORT) remembered.set(word, ids);
    return ids;
  }

  const fuses = section["fuse_unk"] === true;
  return function* (words) {
    const ids: number[] = [];
    let read = 0;
    for (const word of words) {
      if (word.length > STEPS) yield;
      for (const id of remembered.get(word) ?? (yield* encodeWord(word))) {
        if (!(fuses && id === unknown && ids.at(-1) === unknown)) ids.push(id);
      }
      read += word.length;
      if (word !== "" && read < STEPS) continue;
      read = 0;
      yield;
    }
    return ids;
  };
}

/** Finds the last merge of two ids; -1 if there is none. Its hashes are random, so that no file makes pairs collide. */
function rankFinder(merges: Int32Array): (left: number, right: number) => number {
  const factors = crypto.getRandomValues(new Int32Array(2)).map((factor) => factor | 1);
  const shift = Math.min(31, Math.clz32((2 / 3) * merges.length)); // half of the places stay free
  const ranks = new Int32Array(2 ** (32 - shift)).fill(-1);
  const placeOf = (left: number, right: number): number => {
    let place = Math.imul(Math.imul(left, factors[0]!) + Math.imul(right, factors[1]!), 0x9e3779b1) >>> shift;
    for (let rank; (rank = ranks[place]!) >= 0; place = (place + 1) % ranks.length) {
      if (merges[3 * rank] === left && merges[3 * rank + 1] === right) break;
    }
    return place;
  };
  for (let i = 0; i < merges.length; i += 3) ranks[placeOf(merges[i]!, merges[i + 1]!)] = i / 3;
  return (left, right) => ranks[placeOf(left, right)]!;
}

/** The id at a place whose symbol was joined to the one before: part of no pair. */
const EMPTY = -1;
