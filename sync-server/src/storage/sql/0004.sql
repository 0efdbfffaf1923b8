-- Records that are looked up before their company is known, by the company that they name: its sessions, its users.
CREATE INDEX record_of_company ON record (tenant, tbl, body ->> '$.tenant', key) WHERE body ->> '$.tenant' IS NOT NULL;
