/**
 * A file system that dies: of the calls that change files, so many succeed, and every later one fails, as if the
 * process had been killed there. What a dying process would still do (its own cleaning up) fails too. It replaces the
 * functions of node:fs/promises in this process. The write at which it dies leaves a share of its bytes.
 */
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

const WRITING = ["writeFile", "appendFile"] as const;
const CHANGING = ["rename", "rm", "mkdir", "unlink", "symlink", "link", "truncate"] as const;

interface MortalFiles {
  /** Lets `calls` more changes succeed; the one after them, if it is a write, leaves this share of its bytes. */
  dieAfter(calls: number, share: number): void;
  /** Changes since `dieAfter`. */
  readonly calls: number;
  /** A new process, in which that of the dead one no longer runs. */
  revive(): void;
  restore(): void;
}

type Change = (...args: unknown[]) => Promise<unknown>;

/** Replaces the functions until `restore` is called. */
export function mortalFiles(): MortalFiles {
  const real = { ...fs };
  const kill = process.kill.bind(process);
  const life = { left: Infinity, calls: 0, share: 0 };
  const mortal = (call: Change, dataAt?: number): Change => {
    return async (...args) => {
      life.calls++;
      if (life.left-- > 0) return call(...args);
      const data = dataAt === undefined ? undefined : args[dataAt];
      if (life.left === -1 && life.share > 0 && (typeof data === "string" || data instanceof Uint8Array)) {
        await call(...args.with(dataAt!, data.slice(0, Math.ceil(life.share * data.length))));
      }
      throw Object.assign(new Error("killed"), { code: "EKILLED" });
    };
  };
  const target = fs as unknown as Record<string, Change>;
  for (const name of WRITING) target[name] = mortal(real[name] as Change, 1);
  for (const name of CHANGING) target[name] = mortal(real[name] as Change);
  target["open"] = async (...args) => {
    const handle = await (real.open as unknown as Change)(...args);
    const changing = handle as Record<string, Change>;
    for (const name of [...WRITING, "write"]) changing[name] = mortal(changing[name]!.bind(handle), 0);
    changing["truncate"] = mortal(changing["truncate"]!.bind(handle));
    return handle;
  };
  syncBuiltinESMExports();
  return {
    dieAfter(calls, share) {
      Object.assign(life, { left: calls, calls: 0, share });
    },
    get calls() {
      return life.calls;
    },
    revive() {
      life.left = Infinity;
      process.kill = (pid, signal) => {
        if (signal !== 0 || pid !== process.pid) return kill(pid, signal);
        throw Object.assign(new Error("no such process"), { code: "ESRCH" });
      };
    },
    restore() {
      process.kill = kill;
      Object.assign(target, real);
      syncBuiltinESMExports();
    },
  };
}
