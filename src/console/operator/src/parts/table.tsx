// A table that becomes a list of cards on a phone. The roles are written out: a browser takes a table whose rows are no
// longer laid out as rows for no table.
import type { ComponentChildren } from "preact";

export interface Column<T> {
  name: string;
  cell: (row: T) => ComponentChildren;
  /** `number` is set right; `main` is the card's title on a phone. */
  kind?: "number" | "main";
  /** The name is there for those who cannot see what it is. */
  isNameHidden?: boolean;
}

interface TableProps<T> {
  caption: string;
  columns: Column<T>[];
  rows: T[];
  idOf: (row: T) => string;
}

export function Table<T>({ caption, columns, rows, idOf }: TableProps<T>) {
  return (
    <table role="table" class="cards">
      <caption class="unseen">{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map(({ name, kind, isNameHidden }) => (
            <th key={name} role="columnheader" scope="col" class={kind}>
              {isNameHidden ? <span class="unseen">{name}</span> : name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <tr key={idOf(row)} role="row">
            {columns.map(({ name, cell, kind, isNameHidden }) => (
              <td key={name} role="cell" class={kind} data-name={isNameHidden || kind === "main" ? undefined : name}>
                {cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
