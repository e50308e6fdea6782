package pdf

// The reasons of Changes. A number of an object follows where there is one. The codes of Error are reasons too, of an answer that
// could not be given.
const (
	reasonAnnotation                = "annotation"                   // an annotation that may not come: of another kind, or an old object
	reasonAnnotationRemoved         = "annotation_removed"           // a page lists an annotation no more
	reasonAnnotationWithAppearance  = "annotation_with_appearance"   // a note or mark with a drawing or an action of its own
	reasonAnnotations               = "annotations"                  // the annotations of a page are no list any more
	reasonAppearance                = "appearance"                   // an appearance dictionary or stream of another kind
	reasonBytesBehindEOF            = "bytes_behind_eof"             // something behind the last %%EOF
	reasonCatalogKey                = "catalog_key"                  // a key of the catalog that may not change
	reasonDSS                       = "dss"                          // the store of validation data is gone
	reasonDSSKey                    = "dss_key"                      // a key that a store does not have
	reasonDSSList                   = "dss_list"                     // a list of a store is no list
	reasonDSSStream                 = "dss_stream"                   // validation data that is not one DER value
	reasonExtensions                = "extensions"                   // a developer extension that is more than names and numbers
	reasonField                     = "field"                        // a new field that is not for a signature
	reasonFieldFlags                = "field_flags"                  // a field is hidden or shown
	reasonFieldKey                  = "field_key"                    // a key of a field that filling it does not change, or that no signature field has
	reasonFieldLocked               = "field_locked"                 // an earlier signature locks the field
	reasonFieldName                 = "field_name"                   // a new field without a name, or with one that exists
	reasonFieldRemoved              = "field_removed"                // the form lists a field no more
	reasonFields                    = "fields"                       // the form's list of fields
	reasonForm                      = "form"                         // the form is gone
	reasonFormKey                   = "form_key"                     // a key of the form that may not change
	reasonHybridSection             = "hybrid_section"               // a later section with two views
	reasonInfo                      = "info"                         // document information that is none
	reasonMarkInfo                  = "mark_info"                    // /MarkInfo with more than flags
	reasonMetadata                  = "metadata"                     // metadata that is no well-formed XML, or has a document type
	reasonNotAllowedByCertification = "not_allowed_by_certification" // the level of change is above what signatures allow
	reasonObjectAboveSize           = "object_above_size"            // the signed revision has an object that /Size says does not exist
	reasonObjectFreed               = "object_freed"                 // an object is gone
	reasonObjectGeneration          = "object_generation"            // an object has another generation
	reasonObjectInNoTable           = "object_in_no_table"           // an object between revisions that no table has
	reasonObjectNotSigned           = "object_not_signed"            // an object of the signed revision stands behind the signed bytes
	reasonObjectOverridden          = "object_overridden"            // an object is another one, where that is not allowed
	reasonObjectStreamOverridden    = "object_stream_overridden"     // an object stream is another one, under rows that stay
	reasonOldObjectReused           = "old_object_reused"            // something shows an old object in a new place
	reasonPage                      = "page"                         // a key of a page that may not change
	reasonReferenceFilled           = "reference_filled"             // an object comes that the signed revision refers to and has not
	reasonReferenceToReference      = "reference_to_reference"       // a new object that is only a reference
	reasonRoot                      = "root"                         // the trailer names another catalog
	reasonSectionNotSigned          = "section_not_signed"           // a section of the signed revision goes on behind the signed bytes
	reasonSignatureFlags            = "signature_flags"              // flags of the form other than those of signatures
	reasonSignatureValue            = "signature_value"              // the value of a signature field is no new signature dictionary
	reasonTrailerKey                = "trailer_key"                  // a key of the trailer that may not change
	reasonUnreadableObject          = "unreadable_object"            // an object that cannot be read, so what it refers to is not known
	reasonUsedElsewhere             = "used_elsewhere"               // an object changes that has another use too
	reasonVersion                   = "version"                      // a version that is none, or an older one
	reasonVisibleFieldNotSigned     = "visible_field_not_signed"     // a new field that shows, without a signature
	reasonVisibleFieldOnCertified   = "visible_field_on_certified"   // a new field that shows, on a certified document
	reasonVRI                       = "vri"                          // the VRI dictionary is gone
	reasonVRIEntry                  = "vri_entry"                    // an entry of a VRI dictionary is another one, or has a key of its own
	reasonVRIKey                    = "vri_key"                      // a new VRI entry of a name that is no SHA-1
	reasonWidget                    = "widget"                       // a widget of a new field that is more than a widget
	reasonWidgetOnTwoPages          = "widget_on_two_pages"          // a widget is listed twice
)
