/**
 * What a tokenizer does: text to token ids, ids to text, at once or id by id. Two are here: byte-level or sentencepiece
 * BPE from a tokenizer.json (hugging-face-tokenizer.ts), and plain bytes (byte-tokenizer.ts).
 */

/** Text in pieces: a string is text, whatever it spells; a number is the id of a control token. */
export type TextParts = readonly (string | number)[];

export interface Tokenizer {
  /** One more than the highest id. A model's embedding may have more rows (padding), never fewer. */
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** Spellings of the special tokens, with their ids. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** The Jinja template of conversations (see chat/), or several by name; undefined if the model came without one. */
  readonly chatTemplate?: string | Readonly<Record<string, string>> | undefined;
  /**
   * Token ids of a text. A special token spelled out in the text becomes its id.
   * `addSpecialTokens` (default true) adds what the tokenizer's own files say: `add_bos_token` and `add_eos_token` of
   * tokenizer_config.json if present, else the template of tokenizer.json; false adds nothing.
   */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /**
   * Token ids of text in pieces, with no special tokens added. A special token that is spelled out in a string stays
   * text; only numbers become special tokens.
   */
  encodeParts(parts: TextParts): number[];
  /**
   * Text of token ids, without special tokens unless `skipSpecialTokens` is false. Throws a TokenError for an id that
   * has no token.
   */
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  /**
   * Decodes token by token, without special tokens. `prefixIds` are the ids before (the prompt): a leading space is
   * stripped only at the start of the whole text.
   *   decode([...prefixIds, ...ids]) = decode(prefixIds) + all pushes + flush
   * provided that decode(prefixIds) does not end inside a code point (if it does, the stream finishes that code point
   * instead of repeating its U+FFFD).
   */
  stream(prefixIds?: readonly number[]): TokenStream;
}

export interface TokenStream {
  /** The text that this id completes; "" while a code point is unfinished. */
  push(id: number): string;
  /** Returns what is held back, as U+FFFD. Call it once, after the last id. */
  flush(): string;
}
