/** Tokenizers: text to ids, ids to text, at once or id by id. hugging-face-tokenizer.ts reads tokenizer.json. */

/** A string is text, whatever it spells; a number is a control token's id. */
export type TextParts = readonly (string | number)[];

export interface Tokenizer {
  /** Highest id plus one. A model's embedding may have more rows (padding), never fewer. */
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** Ids by spelling. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** Jinja template of conversations (see chat/), or several by name. */
  readonly chatTemplate?: string | Readonly<Record<string, string>> | undefined;
  /**
   * Token ids of a text. A special token spelled out in the text becomes its id.
   * `addSpecialTokens` (default true) adds what the tokenizer's own files say: `add_bos_token` and `add_eos_token` of
   * tokenizer_config.json if present, else the template of tokenizer.json; false adds nothing.
   */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /**
   * Ids of text in pieces, without added special tokens. Only numbers become special tokens; spellings stay text. Gives
   * the event loop its turns: a megabyte takes a second.
   */
  encodeParts(parts: TextParts): Promise<number[]>;
  /** Leaves out special tokens unless `skipSpecialTokens` is false. Throws a TokenError for an id without token. */
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  /**
   * Decodes token by token, without special tokens. An id below `vocabSize` without token adds nothing, so that a text
   * that was written for minutes is not lost for it. `prefixIds` are the ids before (the prompt): a leading space is
   * stripped only at the start of the whole text.
   *   decode([...prefixIds, ...ids]) = decode(prefixIds) + all pushes + flush
   * provided that decode(prefixIds) does not end inside a code point (if it does, the stream finishes that code point
   * instead of repeating its U+FFFD).
   */
  stream(prefixIds?: readonly number[]): TokenStream;
}

interface TokenStream {
  /** "" while a code point is unfinished. */
  push(id: number): string;
  /** Held-back bytes, as U+FFFD. Call it once, after the last id. */
  flush(): string;
}
