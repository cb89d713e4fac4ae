/**
 * The machine that a report was made on. Machines are shared and their speed drifts, so ratios only compare medians of
 * one run (lab/speed/timing.ts).
 */
import { existsSync, readFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";

export interface Machine {
  /**
   * The processor's name; on Linux with family and model numbers, since virtual machines report the same name for
   * several generations.
   */
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  /** Its version, and the flags that change how it computes. */
  readonly v8: string;
  readonly date: string;
  /** One-minute load average before the run: how busy other users kept the machine. */
  readonly load: number;
}

export function machine(): Machine {
  return {
    cpu: processor(),
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    v8: [process.versions.v8, ...process.execArgv.filter((flag) => flag.includes("wasm"))].join(" "),
    date: new Date().toISOString(),
    load: loadavg()[0]!,
  };
}

function processor(): string {
  const name = cpus()[0]?.model.trim() ?? "unknown";
  const text = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "";
  const field = (key: string): string | undefined => new RegExp(`^${key}\\s*: (\\d+)$`, "m").exec(text)?.[1];
  const family = field("cpu family");
  const model = field("model");
  return family === undefined || model === undefined ? name : `${name} (family ${family}, model ${model})`;
}

export function describeMachine({ cpu, cores, memoryGiB, platform, node, v8, date, load }: Machine): string {
  const hardware = `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}`;
  return `${hardware}; Node ${node} (V8 ${v8}); ${date}; load before the run ${load.toFixed(2)}`;
}
