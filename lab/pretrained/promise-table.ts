/** Table of what certificates promise, and on what evidence. */
import type { Certificate } from "early-exits";
import { percent } from "../report/format.js";
import { prose } from "../report/prose.js";
import type { Table } from "../report/report.js";

/** A row for each certificate; `timeOf` gives milliseconds a token by what left in its test. */
export function promiseTable(
  certificates: readonly Certificate[],
  timeOf: (certificate: Certificate) => number,
): Table {
  return {
    title: "Promises",
    note: prose`Certified on the model's own greedy answers, as documents that are independent, with probability 95 %.
      With the fill lazy, which is exact, by recording the answers once; with project by running the candidates, because
      its keys and values change other tokens. Milliseconds a token: by what left in the test at the unit times here;
      they decide which policy of a level runs above.`,
    columns: [
      "promised",
      "fill",
      "answers tested",
      "score",
      "thresholds",
      "agreement in the test",
      "depth",
      "ms a token",
    ],
    rows: certificates.map((certificate) => {
      const { agreement, policy, documents, split, measured } = certificate;
      return [
        percent(agreement, 0),
        policy.fill,
        String(documents.length - split.grid),
        policy.score,
        policy.exits
          .map(
            ({ depth, threshold }) => `${depth}: ${typeof threshold === "number" ? threshold.toFixed(3) : threshold}`,
          )
          .join(", "),
        percent(measured.documentAgreement),
        measured.meanDepth.toFixed(2),
        timeOf(certificate).toFixed(2),
      ];
    }),
  };
}
