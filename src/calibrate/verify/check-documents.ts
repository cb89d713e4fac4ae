/**
 * The documents of a certificate against those that were given. Which of them are copies is found anew from the rule
 * (record/find-kin.ts), with code of its own.
 */
import type { Model } from "../../model/index.js";
import type { Certificate, CertificateCopy } from "../certificate/certificate.js";
import type { HashedDocument } from "../record/documents.js";
import { classesIn, type Evidence } from "../record/evidence.js";

/** A document with the hash of its class's leader. */
type Classed<One> = One & { readonly kin: string };

/** In own text, nothing of a prompt is judged. */
export function classDocuments<One extends Pick<HashedDocument, "hash" | "ids" | "from">>(
  texts: readonly One[],
  model: Model,
  ownText = false,
): Classed<One>[] {
  const sorted = [...texts].sort((a, b) => (a.hash < b.hash ? -1 : 1));
  const numbers = new Map<string, number>();
  const parts = sorted.map(({ ids, from }) =>
    splitWords(ids, ownText ? ids.length : from, model).map((part) => marksOf(part, numbers)),
  );
  const frequency = new Map<number, number>();
  for (const mark of parts.flatMap(([, judged]) => [...judged!])) frequency.set(mark, (frequency.get(mark) ?? 0) + 1);
  /** By a mark that is among the rarest of a leader's judged text, such leaders. */
  const led = new Map<number, number[]>();
  const kin = new Map<string, string>();
  sorted.forEach(({ hash }, d) => {
    const own = parts[d]!;
    const marks = [...own[1]!].sort((a, b) => frequency.get(a)! - frequency.get(b)! || a - b);
    const rarest = marks.slice(0, Math.floor((2 * marks.length) / 5) + 1); // a copy has one of them
    const met = [...new Set(rarest.flatMap((mark) => led.get(mark) ?? []))];
    const near = met.filter((other) => own.every((part, side) => sharesMost(part, parts[other]![side]!)));
    if (near.length > 0) {
      kin.set(hash, sorted[Math.min(...near)]!.hash);
      return;
    }
    kin.set(hash, hash);
    for (const mark of rarest) led.set(mark, [...(led.get(mark) ?? []), d]);
  });
  return texts.map((text) => ({ ...text, kin: kin.get(text.hash)! }));
}

/** Ids that the tokenizer does not name are words themselves; the second part has 15 words if there are so many. */
function splitWords(ids: readonly number[], from: number, model: Model): string[][] {
  const wordsOf = (part: readonly number[]): string[] => {
    try {
      const found = model.tokenizer
        .decode(part)
        .normalize("NFKC")
        .toLowerCase()
        .match(/[\p{L}\p{N}]+/gu);
      return found === null ? part.map(String) : [...found];
    } catch {
      return part.map(String);
    }
  };
  const prompt = wordsOf(ids.slice(0, from));
  const judged = wordsOf(ids.slice(from));
  while (judged.length < 15 && prompt.length > 0) judged.unshift(prompt.pop()!);
  return [prompt, judged];
}

/** Numbers for all words of a short part together, or for each passage of five words of a longer one. */
function marksOf(words: readonly string[], numbers: Map<string, number>): Set<number> {
  const texts =
    words.length < 16 ? [`${words.join(" ")}.`] : words.slice(4).map((_, i) => words.slice(i, i + 5).join(" "));
  const marks = new Set<number>();
  for (const text of texts) {
    const number = numbers.get(text) ?? numbers.size;
    numbers.set(text, number);
    marks.add(number);
  }
  return marks;
}

function sharesMost(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  let common = 0;
  for (const mark of a) common += Number(b.has(mark));
  return 5 * common >= 3 * a.size && 5 * common >= 3 * b.size;
}

/** The same documents with the same copies, groups, lengths and answers (with the same kernels), and the same cut. */
export function checkDocuments({ documents, split }: Certificate, evidence: Evidence, sameKernels = true): string[] {
  const classes = classesIn(evidence);
  const known = new Map(classes.map(([leader, ...copies]) => [leader!.hash, { ...leader!, copies }]));
  for (const { hash, tokens, group, answer, copies = [] } of documents) {
    const short = `${hash.slice(0, 12)}…`;
    const document = known.get(hash);
    if (document === undefined) return [`documents: ${short} is not among them, or is a copy of another`];
    if (sameKernels && document.answer !== answer) return [`documents: the full model answers ${short} otherwise`];
    if (sameKernels && document.tokens !== tokens) {
      return [`documents: ${short} has ${document.tokens} judged tokens, not ${tokens}`];
    }
    if (document.group !== group) return [`documents: ${short} is in another group than the certificate says`];
    if (spelled(document.copies) === spelled(copies)) continue;
    return [
      `documents: ${short} has ${document.copies.length} copies, exactly or nearly, but ${copies.length} are stored, ` +
        "or others",
    ];
  }
  if (classes.length !== documents.length) {
    return [`documents: ${classes.length} distinct ones were found, but the certificate uses ${documents.length}`];
  }
  const grid = classes.filter(([leader]) => !leader!.tested).length;
  if (grid !== split.grid) return [`split: the grid split has ${grid} documents, not ${split.grid}`];
  return [];
}

function spelled(copies: readonly CertificateCopy[]): string {
  return copies
    .map(({ hash, tokens, group }) => [hash, group, tokens].join())
    .sort()
    .join(" ");
}
