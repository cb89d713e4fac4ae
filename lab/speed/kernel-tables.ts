/** The timings of kernels as tables of a report. */
import { prose } from "../report/prose.js";
import type { Table } from "../report/report.js";
import type { Timing } from "./timing.js";

export interface KernelTiming extends Timing {
  readonly name: string;
  readonly threads: number;
  /** GFLOP/s and its share of the multiply-add limit. */
  readonly gflops?: number;
  readonly peakShare?: number;
  /** GB/s and its share of the read limit. */
  readonly gbps?: number;
  readonly readShare?: number;
  readonly rows?: number;
  /** Time per row, relative to the time of one row of the same product. */
  readonly perRow?: number;
  /** The same if only arithmetic took time, at the multiply-add limit: the least that many rows can reach. */
  readonly perRowLimit?: number;
}

/** Products of a few rows, if any were timed, and all kernels. */
export function kernelTables(timings: readonly KernelTiming[]): Table[] {
  const fewRows = timings.some(({ rows }) => rows !== undefined);
  return [...(fewRows ? [fewRowsTable(timings)] : []), kernelTable(timings)];
}

const fewRowsNote = prose`
  Time per row relative to the time of one row of the same product: the cost of a token that is verified or batched
  together with others. "arithmetic" is the same if only the multiply-adds took time, at this run's limit of one
  thread. Aims, float32 with 2, 4 and 8 rows: 0.85, 0.65, 0.6 in the cache; 0.6, 0.35, 0.25 out of it.`;

const kernelNote = prose`
  Medians. Shares are relative to this run's limits of one thread; GB/s is given if a kernel's weights exceed the
  caches; "per row" is the time per row relative to the time of one row of the same product: the cost of verifying
  several tokens at once.`;

/** Products of a few rows compared with one row, one line per matrix. */
function fewRowsTable(timings: readonly KernelTiming[]): Table {
  const matrixOf = ({ name, threads }: KernelTiming): string =>
    `${name.slice(0, name.lastIndexOf(","))}${threads > 1 ? `, ${threads} threads` : ""}`;
  const products = timings.filter(({ rows }) => rows !== undefined);
  const counts = [2, 3, 4, 8, 16];
  return {
    title: "Products of a few rows",
    note: fewRowsNote,
    columns: ["product", "1 row, µs", ...counts.map((count) => `${count} rows`), "arithmetic"],
    rows: [...new Set(products.map(matrixOf))].map((matrix) => {
      const withRows = (count: number): KernelTiming | undefined =>
        products.find((timing) => matrixOf(timing) === matrix && timing.rows === count);
      return [
        matrix,
        1000 * (withRows(1)?.median ?? NaN),
        ...counts.map((count) => withRows(count)?.perRow ?? ""),
        withRows(1)?.perRowLimit ?? "",
      ];
    }),
  };
}

/** All timings, one line per kernel. */
function kernelTable(timings: readonly KernelTiming[]): Table {
  const share = (value: number | undefined): string => (value === undefined ? "" : `${(100 * value).toFixed(0)} %`);
  return {
    title: "Kernels",
    note: kernelNote,
    columns: ["kernel", "threads", "µs", "spread", "GFLOP/s", "of peak", "GB/s", "of read", "per row"],
    rows: timings.map(
      ({ name, threads, median, lowerQuartile, upperQuartile, gflops, peakShare, gbps, readShare, perRow }) => [
        name,
        threads,
        1000 * median,
        share((upperQuartile - lowerQuartile) / median),
        gflops ?? "",
        share(peakShare),
        gbps ?? "",
        share(readShare),
        perRow ?? "",
      ],
    ),
  };
}
