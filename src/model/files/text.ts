/** Text out of files, for every host: UTF-8, or the texts of JSON lines. What is no text is refused by its kind. */
import { EarlyExitError } from "../../errors.js";
import { parseJson } from "./folder.js";

/** Formats given in place of text, by their first bytes. */
const FORMATS: Readonly<Record<string, string>> = {
  "%PDF-": "a PDF; convert it first, for example with pdftotext",
  "PK\u0003\u0004": "a zip archive (also .docx, .epub); unpack or convert it first",
  "\u001f\u008b": "compressed by gzip; unpack it first",
  GGUF: "a GGUF file, which holds a model; give it where a model is expected",
};
/** Share of replacement characters in text with a few damaged places. */
const DAMAGED = 0.01;

/** Throws an EarlyExitError `text-binary` for bytes that are no text. */
export function utf8Of(bytes: Uint8Array, path: string): string {
  const text = new TextDecoder("utf-8").decode(bytes);
  const start = String.fromCharCode(...bytes.subarray(0, 8));
  const format = Object.keys(FORMATS).find((magic) => start.startsWith(magic));
  const replaced = text.split("\ufffd").length - 1;
  if (format === undefined && !text.includes("\0") && replaced <= DAMAGED * text.length) return text;
  const found = format === undefined ? "binary, or not in UTF-8; convert it first" : FORMATS[format]!;
  throw new EarlyExitError("text-binary", `${path}: expected UTF-8 text, found a file that is ${found}`, { path });
}

/** The text; of a .jsonl file, the "text" of every line, separated by form feeds. */
export function documentsOf(text: string, path: string): string {
  if (!/\.(jsonl|ndjson)$/i.test(path)) return text;
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line, index) => textOfLine(line, path, index + 1)).join("\f");
}

function textOfLine(line: string, path: string, number: number): string {
  const where = `${path}, line ${number}`;
  const document = parseJson(line, where);
  if (typeof document === "object" && document !== null && "text" in document && typeof document.text === "string") {
    return document.text;
  }
  throw new EarlyExitError("jsonl-malformed", `${where}: expected an object with a "text" string`, {
    path,
    line: number,
  });
}
