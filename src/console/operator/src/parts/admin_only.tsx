// What a token that may only read does not see: said in one sentence instead of being asked for and refused every few
// seconds.
import type { ComponentChildren } from "preact";
import { Loading } from "./basics.tsx";
import { useScope } from "./scope.tsx";

export function AdminOnly({ what, children }: { what: string; children: ComponentChildren }) {
  const scope = useScope();
  if (scope === "admin") return <>{children}</>;
  if (scope === "unknown") return <Loading what="what this token may see" />;
  return (
    <p class="notice idle">
      {what} needs a token with the admin scope <code>FORBIDDEN</code>
    </p>
  );
}
