/**
 * Reads a safetensors header's JSON. JSON.parse would keep the last of two equal keys, round large integers, and build
 * whatever it is given.
 */
import { fault, quote } from "./errors.js";

const kinds: ReadonlyMap<string, string> = new Map([
  ["{", "object"],
  ["[", "array"],
  ['"', "string"],
  ["0", "number"],
  ["t", "true"],
  ["f", "false"],
  ["n", "null"],
]);

export class HeaderCursor {
  #at = 0;
  constructor(readonly text: string) {}

  /** `member` is called after each key and must consume its value. */
  object(where: string, member: (key: string) => void): void {
    const seen = new Set<string>();
    this.#expect("{");
    if (this.#take("}")) return;
    do {
      const key = this.string();
      if (seen.has(key)) throw fault("duplicate-key", `safetensors: ${where} has the key ${quote(key)} twice`, { key });
      seen.add(key);
      this.#expect(":");
      member(key);
    } while (this.#take(","));
    this.#expect("}");
  }

  /** Integers in [0, 2^53), exactly `count` if given. */
  integers(where: string, count = Number.POSITIVE_INFINITY): number[] {
    this.require("array", "field-type", where);
    this.#expect("[");
    const values: number[] = [];
    if (!this.#take("]")) {
      do {
        if (values.length === count) {
          throw fault("field-type", `safetensors: ${where} has more than ${count} entries`, { count });
        }
        values.push(this.#integer(where));
      } while (this.#take(","));
      this.#expect("]");
    }
    if (Number.isFinite(count) && values.length < count) {
      throw fault("field-type", `safetensors: ${where} has ${values.length} entries, not ${count}`, { count });
    }
    return values;
  }

  string(): string {
    if (this.#peek() !== '"') throw this.#invalid("a string");
    const start = this.#at;
    let end = start + 1;
    let escaped = false;
    for (let code = this.text.charCodeAt(end); code !== 0x22; code = this.text.charCodeAt(end)) {
      // NaN at the end
      if (!(code >= 0x20)) throw this.#invalid("a string without control characters, closed by a quote");
      escaped ||= code === 0x5c;
      end += code === 0x5c ? 2 : 1;
    }
    this.#at = end + 1;
    if (!escaped) return this.text.slice(start + 1, end);
    try {
      const value = JSON.parse(this.text.slice(start, end + 1)) as string;
      if (!/\p{Surrogate}/u.test(value)) return value;
    } catch {
      /* an escape that JSON does not know; refused below */
    }
    this.#at = start;
    throw this.#invalid("a string with legal escapes and no lone surrogates");
  }

  /** Checks, without reading it, that such a value comes next. */
  require(
    kind: "object" | "array" | "string" | "number",
    code: "field-type" | "metadata-type" | "not-an-integer",
    where: string,
  ): void {
    const char = this.#peek();
    const found = kinds.get(char === "-" || (char >= "0" && char <= "9") ? "0" : char);
    if (found === undefined) throw this.#invalid("a value");
    if (found !== kind) {
      throw fault(
        code,
        `safetensors: ${where} must be ${kind === "string" ? "text" : `of type ${kind}`}, found ${found}`,
        { expected: kind, found },
      );
    }
  }

  finish(): void {
    if (this.#peek() !== "") throw this.#invalid("nothing but white space");
  }

  #integer(where: string): number {
    this.require("number", "not-an-integer", `every entry of the ${where}`);
    const start = this.#at;
    while (this.#at < this.text.length && "0123456789+-.eE".includes(this.text[this.#at]!)) this.#at++;
    const literal = this.text.slice(start, this.#at);
    const value = Number(literal);
    if (/^(?:0|[1-9][0-9]{0,15})$/.test(literal) && value <= Number.MAX_SAFE_INTEGER) return value;
    if (Number.isNaN(value) || /^-?0[0-9]|^-?\.|\.(?![0-9])/.test(literal)) {
      // Number() is laxer than JSON
      this.#at = start;
      throw this.#invalid("a number");
    }
    throw fault(
      "not-an-integer",
      `safetensors: the ${where} holds ${quote(literal)}; legal are plain integers from 0 to 2^53 - 1`,
      { found: literal.slice(0, 80) },
    );
  }

  /** The next character that is not white space; "" at the end. */
  #peek(): string {
    let code = this.text.charCodeAt(this.#at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = this.text.charCodeAt(++this.#at);
    return this.text[this.#at] ?? "";
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false;
    this.#at++;
    return true;
  }

  #expect(char: string): void {
    if (!this.#take(char)) throw this.#invalid(quote(char));
  }

  #invalid(expected: string): Error {
    const found = this.#at < this.text.length ? quote(this.text.slice(this.#at, this.#at + 20)) : "the end";
    return fault(
      "invalid-json",
      `safetensors: expected ${expected} at character ${this.#at} of the header, found ${found}`,
      { at: this.#at },
    );
  }
}
