import { Button, Table, type TableColumnsType } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { Listed, Paged } from "../api/files";
import type { Row } from "../api/types";
import { Failed, Loading, Nothing } from "./state";

/** A list's rows as far as they were asked for, and the way to more. */
export function Rows({ listed, nothing, children }: { listed: Listed; nothing: string; children: (rows: Row[]) => ReactNode }): ReactNode {
  if (listed.rows === undefined) return listed.query.isError ? <Failed error={listed.query.error} again={() => void listed.query.refetch()} /> : <Loading />;
  if (listed.rows.length === 0) return <Nothing>{nothing}</Nothing>;
  return (
    <>
      {children(listed.rows)}
      <More query={listed.query} />
    </>
  );
}

/** The way to what a list has not shown yet, if there is more. */
export function More({ query }: { query: Paged }): ReactNode {
  const { t } = useTranslation();
  if (!query.hasNextPage) return null;
  return (
    <Button style={{ marginTop: 8 }} loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
      {t("list.more")}
    </Button>
  );
}

/** Rows as lines that open where they are clicked; the first column also holds what keys reach. */
export function RowTable({ rows, open, columns }: { rows: Row[]; open: (row: Row) => void; columns: TableColumnsType<Row> }): ReactNode {
  return (
    <Table<Row>
      size="small"
      className="clickable-rows"
      pagination={false}
      rowKey={(row) => row.doc.id}
      dataSource={rows}
      onRow={(row) => ({ onClick: () => open(row) })}
      columns={columns}
    />
  );
}
