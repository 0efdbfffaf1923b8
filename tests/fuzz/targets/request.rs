#![no_main]

onsite_fuzz::target!(Request);
