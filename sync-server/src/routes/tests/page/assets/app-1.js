console.info("page");
