-- Refused changes of a device that wait for the office: bounded by a quota.
CREATE INDEX aside_of_device ON aside (tenant, device) WHERE decision IS NULL;
-- Work numbers are unique among the members of staff (kind 0).
CREATE INDEX staff_by_code ON view (tenant, summary ->> '$.number') WHERE kind = 0;
