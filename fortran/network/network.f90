!> Feed-forward networks: packed weights in ænet's order.
module tf_network
   use tf_kinds, only : i8
   use tf_activation, only : n_activation
   use tf_error, only : error_type, raise, check_memory, error_value, error_size
   implicit none
   private
   public :: network_type, new_networks

   !> Layout of one network; weights and scratch belong to the caller
   type :: network_type
      !> Layers, input and output included
      integer :: n_layers = 0
      !> Nodes of each layer, without bias
      integer, allocatable :: n_nodes(:)
      !> Activation code of layers 2 … n_layers, stored at the index of the layer
      integer, allocatable :: activation(:)
      !> Weights of the step l → l+1 start behind this many weights; (n_out, n_in + 1), bias last column
      integer, allocatable :: weight_offset(:)
      !> Scratch columns of layer l start behind this many columns
      integer, allocatable :: node_offset(:)
      integer :: n_weights = 0
      !> Nodes of the first layer
      integer :: n_inputs = 0
      !> Nodes of all layers after the input: columns of scratch
      integer :: n_columns = 0
      !> Where this network's weights start in the vector of all weights
      integer :: first_weight = 1
   end type network_type

contains

   !> Build the layouts of all species from flat arrays
   subroutine new_networks(n_layers, n_nodes, activation, networks, n_weights, error)
      !> Layers of each species' network, input and output included
      integer, intent(in) :: n_layers(:)
      !> Nodes per layer, species after species
      integer, intent(in) :: n_nodes(:)
      !> Activation codes per layer (the one of an input layer is ignored), species after species
      integer, intent(in) :: activation(:)
      type(network_type), allocatable, intent(out) :: networks(:)
      !> Weights of all networks together
      integer, intent(out) :: n_weights
      type(error_type), allocatable, intent(inout) :: error
      integer :: t, l, n, start, status

      n_weights = 0
      if (size(n_nodes) /= sum(n_layers) .or. size(activation) /= sum(n_layers)) then
         call raise(error, error_size, "layer arrays do not match the number of layers")
         return
      end if
      if (any(n_layers < 2) .or. any(n_nodes < 1)) then
         call raise(error, error_value, "a network needs at least two layers of at least one node")
         return
      end if
      if (any(activation < 0) .or. any(activation >= n_activation)) then
         call raise(error, error_value, "unknown activation function")
         return
      end if
      allocate (networks(size(n_layers)), stat=status)
      call check_memory(status, "networks", size(n_layers, kind=i8)*storage_size(networks)/8, error)
      if (allocated(error)) return
      start = 0
      do t = 1, size(n_layers)
         n = n_layers(t)
         associate (net => networks(t))
            net%n_layers = n
            net%n_nodes = n_nodes(start + 1:start + n)
            net%n_inputs = net%n_nodes(1)
            net%activation = activation(start + 1:start + n)
            allocate (net%weight_offset(n), net%node_offset(n), source=0, stat=status)
            call check_memory(status, "the layers of a network", 8_i8*n, error)
            if (allocated(error)) return
            do l = 1, n - 1
               net%weight_offset(l + 1) = net%weight_offset(l) + (net%n_nodes(l) + 1)*net%n_nodes(l + 1)
               if (l > 1) net%node_offset(l + 1) = net%node_offset(l) + net%n_nodes(l)
            end do
            net%n_weights = net%weight_offset(n)
            net%n_columns = sum(net%n_nodes(2:))
            net%first_weight = n_weights + 1
            n_weights = n_weights + net%n_weights
         end associate
         start = start + n
         if (networks(t)%n_nodes(n) /= 1) call raise(error, error_value, "the output layer must have one node")
      end do
   end subroutine new_networks

end module tf_network
