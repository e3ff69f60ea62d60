export { type CatalogService, type CatalogServiceOptions, startCatalogService } from './service.ts'
