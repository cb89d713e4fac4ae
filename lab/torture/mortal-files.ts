/**
 * A file system that dies: of the calls that change files, so many succeed, and every later one fails, as if the
 * process had been killed there. What a dying process would still do (its own cleaning up) fails too. It replaces the
 * functions of node:fs/promises in this process; long writes may also leave half of their bytes.
 */
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

const CHANGING = ["writeFile", "appendFile", "rename", "rm", "mkdir", "unlink", "symlink", "link", "truncate"] as const;

export interface MortalFiles {
  /** Lets `calls` more changes succeed; `torn`: the one after them writes half of its bytes. */
  dieAfter(calls: number, torn: boolean): void;
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
  const life = { left: Infinity, calls: 0, torn: false };
  const mortal =
    (name: (typeof CHANGING)[number], call: Change): Change =>
    async (...args) => {
      life.calls++;
      if (life.left-- > 0) return call(...args);
      const [path, data] = args;
      if (
        life.left === -1 &&
        life.torn &&
        name === "writeFile" &&
        (typeof data === "string" || data instanceof Uint8Array)
      ) {
        await real.writeFile(path as string, data.slice(0, data.length / 2));
      }
      throw Object.assign(new Error("killed"), { code: "EKILLED" });
    };
  const target = fs as unknown as Record<string, Change>;
  for (const name of CHANGING) target[name] = mortal(name, real[name] as Change);
  target["open"] = async (...args) => {
    const handle = await (real.open as unknown as Change)(...args);
    const changing = handle as Record<string, Change>;
    for (const name of ["appendFile", "truncate", "writeFile", "write"]) {
      const call = changing[name]!.bind(handle);
      changing[name] = mortal("appendFile", call);
    }
    return handle;
  };
  syncBuiltinESMExports();
  return {
    dieAfter(calls, torn) {
      Object.assign(life, { left: calls, calls: 0, torn });
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
