/** What machine it was. A ratio compares medians of one run only (timing.ts): the machines are shared and drift. */
import { existsSync, readFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";

export interface Machine {
  /**
   * The processor's name; on Linux with family and model numbers, since virtual machines keep the name from generation
   * to generation.
   */
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  readonly v8: string;
  readonly date: string;
  /** One-minute load average before the run: on a shared machine, what stood in the way. */
  readonly load: number;
}

export function machine(): Machine {
  return {
    cpu: processor(),
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    v8: process.versions.v8,
    date: new Date().toISOString(),
    load: loadavg()[0]!,
  };
}

function processor(): string {
  const name = cpus()[0]?.model.trim() ?? "unknown";
  const text = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "";
  const [family, model] = ["cpu family", "model"].map((key) => new RegExp(`^${key}\\s*: (\\d+)$`, "m").exec(text)?.[1]);
  return family === undefined || model === undefined ? name : `${name} (family ${family}, model ${model})`;
}

export function describeMachine({ cpu, cores, memoryGiB, platform, node, v8, date, load }: Machine): string {
  return (
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}; Node ${node} (V8 ${v8}); ${date}; load before the ` +
    `run ${load.toFixed(2)}`
  );
}
