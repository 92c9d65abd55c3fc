/** What the host offers to a component. */
declare module "ilab:pipeline/host-log@0.1.0" {
  export function log(level: "debug" | "info" | "warn" | "error", message: string): void;
}
